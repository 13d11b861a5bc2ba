"""What every native test leaves behind."""

import pytest

from lrdsl.evaluators.native import extension


@pytest.fixture(autouse=True)
def restore_isa():
    module = extension()
    best = module.isa() if module is not None else None
    yield
    if module is not None:
        module.set_isa(best)
