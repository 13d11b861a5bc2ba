"""Segment names never run into each other or out of the plot."""

from __future__ import annotations

import random
from itertools import pairwise

from lrdsl.plotting.curve import Part
from lrdsl.plotting.labels import arrange


def test_a_label_that_fits_stands_in_the_middle() -> None:
    (label,) = arrange([Part(0, 100, "hold()")], float, 0, 100, 1, 1)
    assert (label.x, label.row, label.text) == (47, 0, "hold()")


def test_a_label_wider_than_its_segment_starts_with_it() -> None:
    labels = arrange([Part(0, 3, "warmup(3)"), Part(3, 100, "cosine(97)")], float, 0, 100, 1, 1)
    assert [(label.x, label.text) for label in labels] == [(0, "warmup(3)"), (46.5, "cosine(97)")]


def test_a_label_at_the_end_is_pushed_inside() -> None:
    labels = arrange([Part(0, 95, "hold(95)"), Part(95, 100, "linear(5)")], float, 0, 100, 1, 1)
    assert labels[1].x == 91


def test_a_label_without_room_is_shortened_moved_up_or_left_out() -> None:
    crowd = [Part(i * 5, i * 5 + 5, "constant(1x, n=5)") for i in range(10)]
    labels = arrange(crowd, float, 0, 50, 1, 2)
    assert {label.row for label in labels} == {0, 1}
    assert "constant" in {label.text for label in labels}
    assert len(labels) < len(crowd)


def test_names_are_cut_down_where_that_leaves_room_for_more() -> None:
    parts = [
        Part(0, 70, "hold(70)"),
        Part(70, 85, "constant(0.5x, n=15)"),
        Part(85, 100, "polynomial(15)"),
    ]
    assert [label.text for label in arrange(parts, float, 0, 100, 1, 1)] == [
        "hold(70)",
        "constant",
        "polynomial(15)",
    ]


def test_no_two_labels_touch() -> None:
    draw = random.Random(1)
    for _ in range(200):
        edges = sorted(draw.sample(range(1, 100), 8))
        parts = [Part(a, b, "f" * draw.randint(1, 30) + "(x)") for a, b in pairwise([0, *edges, 100])]
        for rows in (0, 1, 2):
            taken: list[set[int]] = [set() for _ in range(rows)]
            for label in arrange(parts, float, 0, 100, 1, rows):
                cells = set(range(round(label.x), round(label.x) + len(label.text)))
                assert not cells & taken[label.row]
                assert 0 <= min(cells) <= max(cells) <= 100
                taken[label.row] |= cells
