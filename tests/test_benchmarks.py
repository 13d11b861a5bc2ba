"""The benchmarks measure the models that they name."""

from __future__ import annotations

import pytest

from benchmarks.shapes import Shape, count, gpt2, resnet50, vit_b16


@pytest.mark.parametrize(
    ("shapes", "tensors", "elements"),
    [
        pytest.param(gpt2(), 148, 124_439_808, id="GPT-2 124M"),
        pytest.param(resnet50(), 161, 25_557_032, id="ResNet-50"),
        pytest.param(vit_b16(), 152, 86_567_656, id="ViT-B/16"),
    ],
)
def test_shapes_add_up_to_the_published_counts(shapes: list[Shape], tensors: int, elements: int) -> None:
    assert (len(shapes), count(shapes)) == (tensors, elements)
