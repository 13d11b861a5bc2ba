"""torchrun: a worker is killed in the middle, all start again, and the run ends as if nothing had been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.installed import need
from tests.frameworks.processes import ROOT

torch = need("torch")
if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
    pytest.skip("not run: torch was built without gloo", allow_module_level=True)

import lrdsl  # noqa: E402
from tests.frameworks.pasting import block  # noqa: E402
from tests.frameworks.test_ddp import add_up, loss, model, shares  # noqa: E402

TEXT = "warmup(2) >> cosine(20, to=0.1x) | plateau(patience=0, factor=0.5)"
STEPS, EVERY, FATAL = 8, 3, 7


def train_one(net: Any, optimizer: Any, step: int) -> None:
    """One step of one process. In the first attempt the second one is killed at a step that is not saved."""
    rank = torch.distributed.get_rank()
    with Path("rates").open("a") as file:
        file.write(f"{rank} {step} {optimizer.param_groups[0]['lr']!r}\n")
    if (rank, step, os.environ["TORCHELASTIC_RESTART_COUNT"]) == (1, FATAL, "0"):
        os.kill(os.getpid(), signal.SIGKILL)
    optimizer.zero_grad()
    value = loss(net, shares(step)[rank])
    value.backward()
    optimizer.observe(value.detach(), reduce="mean")
    optimizer.step()


def main() -> None:
    """What torchrun starts: the block of the page, with fewer steps."""
    code = block("torchrun.md").replace("10_000", str(STEPS)).replace("100", str(EVERY))
    names: dict[str, Any] = {"model": model(), "text": TEXT, "train_one": train_one}
    exec(compile(code, "torchrun.md", "exec"), names)
    if torch.distributed.get_rank() == 0:
        torch.save([p.detach() for p in names["model"].parameters()], "weights.pt")
    torch.distributed.destroy_process_group()


def one_process() -> tuple[list[Any], list[float]]:
    """The same steps without a cut; gives weights and rates."""
    net = model()
    optimizer = lrdsl.AdamW(net.parameters(), lr=3e-4, schedule=TEXT)
    rates = []
    for step in range(STEPS):
        observed, grads = [], []
        for share in shares(step):
            optimizer.zero_grad()
            observed.append(add_up(net, share, 1))
            grads.append([p.grad for p in net.parameters()])
        for p, first, second in zip(net.parameters(), *grads, strict=True):
            p.grad = (first + second) / 2
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.observe(sum(observed) / 2)
        optimizer.step()
    return list(net.parameters()), rates


@pytest.mark.slow
@pytest.mark.works("torchrun", "a worker killed with -9: restarted from the last checkpoint, 0 difference")
def test_killed_and_restarted(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    # The page says why the last one.
    env = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    with subprocess.Popen(
        [*command, "-m", "tests.frameworks.test_torchrun"],
        cwd=tmp_path,
        env=os.environ | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as run:
        try:
            said, _ = run.communicate(timeout=240)
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode == 0, said
    assert "exitcode: -9" in said

    expected, rates = one_process()
    found = torch.load(tmp_path / "weights.pt", weights_only=True)
    assert all(map(torch.equal, found, expected))
    seen = [line.split() for line in (tmp_path / "rates").read_text().splitlines()]
    for rank in "01":
        steps = [int(step) for r, step, _ in seen if r == rank]
        saved = FATAL - FATAL % EVERY
        assert steps == [*range(FATAL + 1), *range(saved, STEPS)]
        assert [float(rate) for r, _, rate in seen if r == rank] == [rates[step] for step in steps]


if __name__ == "__main__":
    main()
