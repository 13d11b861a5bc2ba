"""The benchmarks measure the models that they name."""

from __future__ import annotations

import pytest

from benchmarks.shapes import Shape, count, gpt2, llama3_8b, resnet50, shard, vit_b16


@pytest.mark.parametrize(
    ("shapes", "tensors", "elements"),
    [
        pytest.param(gpt2(), 148, 124_439_808, id="GPT-2 124M"),
        pytest.param(resnet50(), 161, 25_557_032, id="ResNet-50"),
        pytest.param(vit_b16(), 152, 86_567_656, id="ViT-B/16"),
        pytest.param(llama3_8b(), 291, 8_030_261_248, id="Llama-3-8B"),
    ],
)
def test_shapes_add_up_to_the_published_counts(shapes: list[Shape], tensors: int, elements: int) -> None:
    assert (len(shapes), count(shapes)) == (tensors, elements)


@pytest.mark.parametrize("ranks", [8, 16])
def test_an_even_shard_holds_its_share(ranks: int) -> None:
    assert count(shard(llama3_8b(), ranks)) * ranks == count(llama3_8b())


def test_the_first_ranks_of_an_uneven_shard_hold_more() -> None:
    assert shard([(10, 3), (8,)], 4) == [(3, 3), (2,)]
