"""The processes that other tests are run in: answers by rank, and an end to every wait."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.frameworks.processes import Failed, Pool


@pytest.fixture(scope="module")
def plain() -> Iterator[Pool]:
    pool = Pool(gloo=False)
    yield pool
    pool.close()


def own_id(*args: int) -> tuple[int, int]:
    return os.getpid(), sum(args)


def fail_in(pid: int, how: str) -> str:
    """Fail in one process."""
    if os.getpid() != pid:
        return "fine"
    if how == "raise":
        raise ValueError("no such batch")
    if how == "die":
        os.kill(pid, signal.SIGKILL)
    time.sleep(3600)
    return ""


def test_answers_come_by_rank_from_the_same_processes(plain: Pool) -> None:
    first, again = plain.run(own_id, 1, 2), plain.run(own_id, 1, 2)
    assert first == again and len({pid for pid, _ in first} | {os.getpid()}) == 3
    assert [total for _, total in first] == [3, 3]


@pytest.mark.parametrize(
    ("how", "said", "timeout"),
    [
        ("raise", "ValueError: no such batch", 60.0),
        ("die", "rank 1: ended with status -9", 60.0),
        ("sleep", "rank 1: no answer within 1 s", 1.0),
    ],
)
def test_one_fails(how: str, said: str, timeout: float, plain: Pool) -> None:
    (_, _), (pid, _) = before = plain.run(own_id)
    with pytest.raises(Failed) as caught:
        plain.run(fail_in, pid, how, timeout=timeout)
    assert said in str(caught.value) and "rank 0" not in str(caught.value)
    after = plain.run(own_id)
    assert not {pid for pid, _ in before} & {pid for pid, _ in after}


def rank_and_sum() -> tuple[int, float]:
    import torch

    total = torch.ones(1)
    torch.distributed.all_reduce(total)
    return torch.distributed.get_rank(), total.item()


def test_they_form_a_group(processes: Pool) -> None:
    assert processes.run(rank_and_sum) == [(0, 2.0), (1, 2.0)]
