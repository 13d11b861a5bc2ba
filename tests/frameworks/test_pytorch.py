"""The page on the adapter beside an optimizer of torch's: a run, and the same run cut in two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.installed import need
from tests.frameworks.pasting import paste

torch = need("torch")


def model() -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))


def batches(steps: range) -> list[tuple[Any, Any]]:
    made = []
    for step in steps:
        x = torch.randn(16, 4, generator=torch.Generator().manual_seed(step))
        made.append((x, x.sum(1, keepdim=True).sin()))
    return made


@pytest.mark.works("PyTorch", "adapter beside any optimizer, resume exact")
def test_the_page(tmp_path: Path) -> None:
    whole, cut = model(), model()
    paste("pytorch.md", 0, model=whole, loader=batches(range(20)), path=tmp_path / "whole.pt")
    paste("pytorch.md", 0, model=cut, loader=batches(range(9)), path=tmp_path / "cut.pt")
    again = paste("pytorch.md", 1, model=cut, path=tmp_path / "cut.pt")
    for x, y in batches(range(9, 20)):
        loss = torch.nn.functional.mse_loss(cut(x), y)
        loss.backward()
        again["opt"].step()
        again["sch"].step(loss)
        again["opt"].zero_grad()
    assert all(map(torch.equal, whole.parameters(), cut.parameters()))
    assert again["sch"].state_dict() == torch.load(tmp_path / "whole.pt", weights_only=True)["sch"]
