"""Shapes of the parameters of models that everybody knows."""

from __future__ import annotations

from math import prod

Shape = tuple[int, ...]


def _linear(inputs: int, outputs: int) -> list[Shape]:
    return [(outputs, inputs), (outputs,)]


def _norm(width: int) -> list[Shape]:
    return [(width,), (width,)]


def gpt2(width: int = 768, depth: int = 12) -> list[Shape]:
    """GPT-2, smallest size: dense layers lie as (inputs, outputs), the head is tied to the embedding."""
    dense = [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)]
    attention, projection, widen, narrow = ([shape, shape[1:]] for shape in dense)
    block = [*_norm(width), *attention, *projection, *_norm(width), *widen, *narrow]
    return [(50257, width), (1024, width), *depth * block, *_norm(width)]


def vit_b16(width: int = 768, depth: int = 12) -> list[Shape]:
    """ViT-B/16 for 224 x 224 pixels and 1000 classes."""
    attention = [*_linear(width, 3 * width), *_linear(width, width)]
    block = [*_norm(width), *attention, *_norm(width), *_linear(width, 4 * width), *_linear(4 * width, width)]
    stem = [(1, 1, width), (1, 197, width), (width, 3, 16, 16), (width,)]
    return [*stem, *depth * block, *_norm(width), *_linear(width, 1000)]


def resnet50() -> list[Shape]:
    """ResNet-50 for 1000 classes."""
    shapes = [(64, 3, 7, 7), *_norm(64)]
    inputs = 64
    for width, depth in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for index in range(depth):
            for shape in ((width, inputs, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1)):
                shapes += [shape, *_norm(shape[0])]
            if index == 0:
                shapes += [(4 * width, inputs, 1, 1), *_norm(4 * width)]
            inputs = 4 * width
    return shapes + _linear(inputs, 1000)


def llama3_8b(width: int = 4096, depth: int = 32, hidden: int = 14336, words: int = 128256) -> list[Shape]:
    """Llama-3-8B: 32 query and 8 key heads of 128, no biases, the head is not tied to the embedding."""
    attention = [(width, width), (width // 4, width), (width // 4, width), (width, width)]
    block = [*attention, (hidden, width), (hidden, width), (width, hidden), (width,), (width,)]
    return [(words, width), *depth * block, (width,), (words, width)]


def shard(shapes: list[Shape], ranks: int) -> list[Shape]:
    """What one rank holds where every tensor is cut along its first dimension."""
    return [(-(-shape[0] // ranks), *shape[1:]) for shape in shapes]


def count(shapes: list[Shape]) -> int:
    """Elements in all."""
    return sum(map(prod, shapes))
