"""Everything native is skipped where nothing was built; where something was, it must be live."""

import pytest

from lrdsl import build_record
from lrdsl.evaluators import native


def test_what_was_built_is_live() -> None:
    record = build_record.record()
    if record is None or record["state"] != "built":
        pytest.skip(f"not run: {native.reason()}")
    assert native.extension() is not None, native.reason()
