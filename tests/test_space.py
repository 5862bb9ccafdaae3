"""Search spaces: sampling, mutation, and the rules of their files."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

import pytest
from helpers.specs import SPACES
from pydantic import ValidationError

from lightcnn import document
from lightcnn.budget import Cost
from lightcnn.cost import cost
from lightcnn.errors import DocumentError, InputError
from lightcnn.space import SearchSpace
from lightcnn.spec import NetworkSpec
from lightcnn.stage_space import MAX_GROWTH, Range

every_space = pytest.mark.parametrize("name", sorted(SPACES))

FULL = """\
size: [8, 16]
act: [silu, relu]
channels: 1
classes: 4
hidden: [[], [6, 5]]
dropout: 0.25
stem: {kind: [conv], width: {low: 2, high: 6, step: 2}}
stages:
  - kind: [conv, separable, mbconv]
    width: {low: 3, high: 9, step: 3}
    depth: {low: 1, high: 3}
    kernel: [1, 3]
    expand: [1, 2.5]
    se: [0, 0.5]
    skip: [none, unit, stage]
    down: [none, stride, maxpool, avgpool]
"""


def full() -> SearchSpace:
    return document.parse(SearchSpace, FULL)


def refusals(text: str) -> set[str]:
    with pytest.raises(DocumentError) as caught:
        document.parse(SearchSpace, text, "some.yaml")
    return {str(problem) for problem in caught.value.problems}


@every_space
def test_every_option_of_every_gene_is_sampled(name: str) -> None:
    space = SearchSpace.load(name)
    random = Random(0)
    draws = [space.draw(random) for _ in range(3000)]
    for gene in space.genes():
        options = {shape[gene.name] for shape in draws}
        assert options == set(gene.options), gene.name
        assert {gene.options[0], gene.options[-1]} <= options


def test_drawn_widths_grow_from_stage_to_stage() -> None:
    space = SearchSpace.load("micro")
    random = Random(8)
    ranges = {f"{path}.width": stage.width for path, stage in space.stages_by_path()}
    inner = []
    for _ in range(500):
        shape = space.draw(random)
        widths = [shape[name] for name in ranges]
        free = [w for w, r in zip(widths, ranges.values(), strict=True) if r.low < w < r.high]
        inner += [after / before for before, after in pairwise(free)] if free == widths else []
        assert all(after > 0.5 * before for before, after in pairwise(widths))
    assert len(inner) > 100
    assert 1.2 < sum(inner) / len(inner) < MAX_GROWTH


@every_space
def test_every_sample_is_a_network_of_the_space(name: str) -> None:
    space = SearchSpace.load(name)
    random = Random(1)
    for _ in range(300):
        shape = space.draw(random)
        network = space.spec(shape)
        assert network.input == (space.channels, shape["size"], shape["size"])
        assert network.classes == space.classes
        assert space.spec(dict(reversed(shape.items()))) == network


@every_space
def test_equal_random_states_sample_equal_shapes(name: str) -> None:
    space = SearchSpace.load(name)
    assert space.draw(Random(3)) == space.draw(Random(3))
    shape = space.draw(Random(3))
    assert space.mutate(shape, Random(4)) == space.mutate(shape, Random(4))


def test_genes_have_a_fixed_order_and_distinct_names() -> None:
    assert [(gene.name, gene.options) for gene in full().genes()] == [
        ("size", (8, 16)),
        ("act", ("silu", "relu")),
        ("hidden", ((), (6, 5))),
        ("stem.width", (2, 4, 6)),
        ("stages.0.kind", ("conv", "separable", "mbconv")),
        ("stages.0.width", (3, 6, 9)),
        ("stages.0.depth", (1, 2, 3)),
        ("stages.0.kernel", (1, 3)),
        ("stages.0.expand", (1.0, 2.5)),
        ("stages.0.se", (0.0, 0.5)),
        ("stages.0.skip", ("none", "unit", "stage")),
        ("stages.0.down", ("none", "stride", "maxpool", "avgpool")),
    ]
    assert {gene.name for gene in full().genes() if gene.ordered} == {
        "size",
        "stem.width",
        "stages.0.width",
        "stages.0.depth",
    }


SHAPE: dict[str, Any] = {
    "size": 16, "act": "relu", "hidden": (6, 5), "stem.width": 4, "stages.0.kind": "conv", "stages.0.width": 9,
    "stages.0.depth": 2, "stages.0.kernel": 3, "stages.0.expand": 2.5, "stages.0.se": 0.5, "stages.0.skip": "none",
    "stages.0.down": "none",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "stages"),
    [
        ({}, "[{kind: conv, width: 9, act: relu, depth: 2}, {kind: se, ratio: 0.5}]"),
        ({"down": "stride", "se": 0.0}, "[{kind: conv, width: 9, stride: 2, act: relu, depth: 2}]"),
        ({"down": "avgpool", "se": 0.0}, "[{kind: pool, op: avg}, {kind: conv, width: 9, act: relu, depth: 2}]"),
        ({"skip": "unit", "se": 0.0}, "[{kind: residual, body: [{kind: conv, width: 9, act: relu}], depth: 2}]"),
        ({"skip": "stage", "se": 0.0}, "[{kind: residual, body: [{kind: conv, width: 9, act: relu, depth: 2}]}]"),
        (
            {"kind": "separable", "kernel": 1, "se": 0.0},
            "[{kind: separable, width: 9, kernel: 1, act: relu, depth: 2}]",
        ),
        (
            {"kind": "mbconv", "skip": "stage", "down": "maxpool"},
            "[{kind: pool}, {kind: mbconv, width: 9, expand: 2.5, se: 0.5, act: relu, depth: 2}]",
        ),
        ({"kind": "mbconv", "se": 0.0, "expand": 1.0}, "[{kind: mbconv, width: 9, expand: 1, act: relu, depth: 2}]"),
    ],
)
def test_a_shape_becomes_the_network_that_it_describes(changes: dict[str, Any], stages: str) -> None:
    head = "head: {hidden: [6, 5], act: relu, dropout: 0.25}"
    text = f"input: [1, 16, 16]\nclasses: 4\nstem: [{{kind: conv, width: 4, act: relu}}]\nstages: {stages}\n{head}"
    shape = SHAPE | {f"stages.0.{name}": value for name, value in changes.items()}
    assert full().spec(shape) == document.parse(NetworkSpec, text)


@every_space
def test_a_mutation_changes_one_to_three_genes_within_the_space(name: str) -> None:
    space = SearchSpace.load(name)
    random = Random(5)
    options = {gene.name: gene.options for gene in space.genes()}
    numbers, touched = set(), set()
    for _ in range(1500):
        shape = space.draw(random)
        kept = dict(shape)
        child = space.mutate(shape, random)
        assert shape == kept
        assert child.keys() == shape.keys()
        changed = [gene for gene in shape if child[gene] != shape[gene]]
        assert all(child[gene] in options[gene] for gene in changed)
        numbers.add(len(changed))
        touched.update(changed)
    assert numbers == {1, 2, 3}
    assert touched == set(options)


@every_space
def test_mutations_of_ordered_genes_are_small(name: str) -> None:
    space = SearchSpace.load(name)
    random = Random(6)
    ordered = {gene.name: gene.options for gene in space.genes() if gene.ordered}
    for _ in range(500):
        shape = space.draw(random)
        child = space.mutate(shape, random)
        for gene, options in ordered.items():
            assert abs(options.index(child[gene]) - options.index(shape[gene])) <= max(1, len(options) // 6)


MEASURES = {
    "macs": lambda c: c.macs,
    "params": lambda c: c.params,
    "weight bytes": lambda c: c.weight_bytes_int8,
    "peak": lambda c: c.peak_activations,
    "thop": lambda c: c.thop,
}


@every_space
def test_smallest_and_largest_are_extremes(name: str) -> None:
    space = SearchSpace.load(name)
    random = Random(7)
    drawn: list[Cost] = [cost(space.spec(space.draw(random))) for _ in range(2000)]
    for measure, by in MEASURES.items():
        least, most = by(cost(space.spec(space.smallest(by)))), by(cost(space.spec(space.largest(by))))
        assert least <= min(map(by, drawn)), measure
        assert most >= max(map(by, drawn)), measure
        assert least < most
    assert space.smallest() == space.smallest(MEASURES["macs"])
    assert space.largest() == space.largest(MEASURES["macs"])


@every_space
def test_the_first_shape_is_given_by_start(name: str) -> None:
    space = SearchSpace.load(name)
    first = space.first()
    assert list(first) == [gene.name for gene in space.genes()]
    assert all(first[gene.name] in gene.options for gene in space.genes())
    assert {gene: first[gene] for gene in space.start} == space.start
    space.spec(first)


def test_genes_outside_start_have_their_middle_option() -> None:
    space = document.parse(SearchSpace, FULL + "start: {size: 8, hidden: [6, 5], stages.0.se: 0}")
    first = space.first()
    assert (first["size"], first["hidden"], first["stages.0.se"]) == (8, (6, 5), 0)
    assert (first["stem.width"], first["stages.0.kind"], first["stages.0.down"]) == (4, "separable", "maxpool")
    space.spec(first)


@every_space
def test_for_data_sets_channels_classes_and_suitable_sizes(name: str) -> None:
    space = SearchSpace.load(name)
    smallest, largest = space.size[0], space.size[-1]
    same = space.for_data(1, 7, largest)
    assert (same.channels, same.classes, same.size) == (1, 7, space.size)
    assert space.for_data(1, 7, 1).size == (smallest,)
    bound = space.for_data(3, 2, space.size[1])
    assert set(bound.size) == {size for size in space.size if size <= 1.25 * space.size[1]}
    assert bound.stages == space.stages
    assert bound.first().keys() == {gene.name for gene in bound.genes()}


SIZES = FULL.replace("size: [8, 16]", "size: [8, 12, 16, 24]")


def test_for_data_drops_a_size_that_is_no_longer_a_choice() -> None:
    space = document.parse(SearchSpace, FULL + "start: {size: 16, act: relu}")
    small = space.for_data(1, 2, 8)
    assert (small.size, small.start) == ((8,), {"act": "relu"})
    assert "size" not in small.first()
    assert space.for_data(1, 2, 13).start == {"size": 16, "act": "relu"}


@pytest.mark.parametrize(
    ("data", "sizes"), [(100, [24, 12, 8]), (16, [16, 12, 8]), (12, [12, 12, 8]), (1, [None, None, None])]
)
def test_start_shapes_get_the_next_smaller_size_that_the_data_have(data: int, sizes: list[int | None]) -> None:
    space = document.parse(SearchSpace, SIZES + "starts: [{size: 24}, {size: 12, act: relu}, {size: 8}]")
    assert [start.get("size") for start in space.for_data(1, 2, data).starts] == sizes
    single = document.parse(SearchSpace, SIZES + "start: {size: 24}")
    assert single.for_data(1, 2, data).start.get("size") == sizes[0]


def test_starts_are_complete_shapes_in_the_order_of_the_file() -> None:
    space = document.parse(SearchSpace, FULL + "starts:\n  - {size: 8, hidden: [6, 5]}\n  - {}\n  - {size: 16}")
    first, middle = space.start_shapes()  # the middle option of size is 16, so that the last shape equals the second
    assert first == space.first() == {**middle, "size": 8, "hidden": (6, 5)}
    assert list(middle) == [gene.name for gene in space.genes()]
    assert (middle["size"], middle["stem.width"]) == (16, 4)


def test_start_is_the_same_as_a_list_of_one() -> None:
    start = "{size: 8, stages.0.se: 0}"
    space = document.parse(SearchSpace, FULL + f"start: {start}")
    assert space.start_shapes() == document.parse(SearchSpace, FULL + f"starts: [{start}]").start_shapes()
    assert space.start_shapes() == (space.first(),)
    assert full().start_shapes() == (full().first(),)


def test_a_saved_space_with_starts_is_read_again() -> None:
    space = document.parse(SearchSpace, FULL + "starts: [{hidden: [6, 5]}, {size: 8}]")
    for exclude_defaults in (True, False):
        again = document.parse(SearchSpace, document.dump(space, exclude_defaults=exclude_defaults))
        assert again.start_shapes() == space.start_shapes()


@pytest.mark.parametrize(
    ("value", "nearest"), [(-5, 4), (4, 4), (6.9, 4), (7.1, 10), (9, 10), (99, 16), (float("inf"), 16)]
)
def test_the_nearest_value_of_a_range(value: float, nearest: int) -> None:
    assert Range(low=4, high=16, step=6).nearest(value) == nearest


@pytest.mark.parametrize(
    "bounds",
    [{"low": 4, "high": 3}, {"low": 4, "high": 9, "step": 2}, {"low": 0, "high": 3}, {"low": 1, "high": 2, "step": 0}],
)
def test_the_steps_of_a_range_must_end_at_its_upper_bound(bounds: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        Range(**bounds)


FRAME = "size: [16]\nstem: {kind: [conv], width: {low: 4, high: 8}}\nstages:\n  - "


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (
            "{kind: [conv], width: {low: 4, high: 8}, expand: [2]}",
            "stages.0.expand: expand needs the kind mbconv, and mbconv needs expand; use both or neither",
        ),
        (
            "{kind: [conv, mbconv], width: {low: 4, high: 8}}",
            "stages.0.expand: expand needs the kind mbconv, and mbconv needs expand; use both or neither",
        ),
        (
            "{kind: [mbconv], width: {low: 4, high: 8}, expand: [2], skip: [unit]}",
            "stages.0.skip: mbconv has a skip of its own; leave this key out",
        ),
        (
            "{kind: [conv], width: {low: 4, high: 8}, depth: {low: 1, high: 65}}",
            "stages.0.depth: must be at most 64, not 65",
        ),
        (
            "{kind: [conv], width: {low: 4, high: 9, step: 2}}",
            "stages.0.width: steps of 2 do not lead from 4 to 9; change high or step",
        ),
        (
            "{kind: [conv], width: {low: 4, high: 8}, kernel: [3, 3]}",
            "kernel: an option occurs twice in [3, 3]; remove one",
        ),
        (
            "{kind: [conv], width: {low: 4, high: 8}, kernels: [3]}",
            "stages.0.kernels: unknown key 'kernels' (value [3]); did you mean 'kernel'?",
        ),
        ("{kind: [se], width: {low: 4, high: 8}}", "stages.0.kind.0: 'se' is not one of conv, separable, mbconv"),
        ("{kind: [conv], width: 4}", "stages.0.width: must be a mapping of keys to values, not 4"),
        ("{kind: [], width: {low: 4, high: 8}}", "stages.0.kind: "),
        ("{width: {low: 4, high: 8}}", "stages.0.kind: the key 'kind' is missing; add it (a list)"),
    ],
)
def test_contradictory_stages_are_refused_with_their_place(stage: str, message: str) -> None:
    (refused,) = refusals(FRAME + stage)
    assert refused.startswith("some.yaml:4: ")
    assert message in refused


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("size: [16, 8]", "size: must be in ascending order without repetitions, not [16, 8]"),
        ("size: [8, 8]", "size: must be in ascending order without repetitions, not [8, 8]"),
        ("act: [swish, silu]", "act: an option occurs twice in ['silu', 'silu']; remove one"),
        (
            "start: {stages.0.kernal: 3}",
            "start.stages.0.kernal: unknown gene; did you mean 'stages.0.kernel'?; genes: size, act,",
        ),
        ("start: {stages.0.kernel: 5}", "start.stages.0.kernel: 5 is not an option of this gene"),
        ("start: {hidden: [7]}", "start.hidden: [7] is not an option of this gene"),
        ("start: {stages.0.kernel: 5}", "; options: 1, 3"),
        (
            "starts: [{size: 8}, {stages.0.kernal: 3}]",
            "starts.1.stages.0.kernal: unknown gene; did you mean 'stages.0.kernel'?; genes: size, act,",
        ),
        ("starts: [{size: 9}]", "starts.0.size: 9 is not an option of this gene; options: 8, 16"),
        ("starts: {size: 8}", "starts: must be a list, not {'size': 8}"),
        ("starts: [8]", "starts.0: must be a mapping of keys to values, not 8"),
        (f"starts: [{', '.join(['{size: 8}'] * 9)}]", "starts: must have at most 8 values, not 9"),
        ("sizes: [8]", "unknown key 'sizes' (value [8]); did you mean 'size'?"),
        ("classes: 1", "classes: input should be greater than or equal to 2, not 1"),
    ],
)
def test_contradictory_spaces_are_refused_with_their_place(line: str, message: str) -> None:
    key = line.split(":")[0]
    text = "\n".join(old for old in FULL.splitlines() if not old.startswith(f"{key}:")) + f"\n{line}\n"
    (refused,) = refusals(text)
    assert message in refused
    assert refused.startswith(f"some.yaml:{len(text.splitlines())}: ")


def test_a_space_has_start_or_starts() -> None:
    refused = "some.yaml:18: starts: start and starts exclude each other; move start into the list and remove it"
    assert refusals(FULL + "start: {size: 8}\nstarts: [{size: 16}]") == {refused}


def test_an_input_too_small_for_its_strides_is_refused() -> None:
    stage = "{kind: [conv], width: {low: 4, high: 8}, down: [maxpool]}"
    text = f"size: [4]\nstem: {{kind: [conv], width: {{low: 4, high: 8}}}}\nstages: [{', '.join([stage] * 3)}]"
    assert refusals(text) == {"some.yaml:1: size: 3 stages may halve an input of 4; use 8 or more"}
    space = document.parse(SearchSpace, text.replace("[4]", "[8]"))
    assert list(space.spec(space.smallest()).units())[-1][3][1:] == (1, 1)


@every_space
def test_with_input_leaves_a_single_size(name: str) -> None:
    space = SearchSpace.load(name)
    size = space.size[1]
    fixed = space.with_input(size).for_data(3, 5, size)
    assert fixed.size == (size,)
    assert "size" not in {gene.name for gene in fixed.genes()}
    assert fixed.spec(fixed.first()).input == (3, size, size)
    for wrong in (space.size[0] - 1, space.size[-1] + 1):
        with pytest.raises(InputError, match=f"--input {wrong}: the space {name} takes inputs of"):
            space.with_input(wrong)


@pytest.mark.parametrize(("pixels", "sizes"), [(8, [16]), (28, [28]), (32, [28, 40]), (64, [28, 48]), (224, [28, 48])])
def test_on_larger_images_the_start_is_tried_with_a_larger_input_too(pixels: int, sizes: list[int]) -> None:
    starts = SearchSpace.load("micro").for_data(3, 5, pixels).start_shapes(pixels)
    assert [start.get("size", 16) for start in starts] == sizes
    assert len({tuple(value for name, value in start.items() if name != "size") for start in starts}) == 1


@every_space
@pytest.mark.parametrize("pixels", [8, 28, 64, 100, 128, 224])
def test_start_shapes_are_networks_for_images_of_every_size(name: str, pixels: int) -> None:
    space = SearchSpace.load(name).for_data(3, 5, pixels)
    shapes = [space.start_shapes(pixels), space.with_input(space.size[-1]).start_shapes(pixels)]
    assert 1 <= len(shapes[0]) <= 2
    assert len(shapes[1]) == 1
    for start in (*shapes[0],):
        assert space.spec(start).classes == 5
