"""Checks of maps on networks whose truth is known, with methods that tell it, hide it or ignore the network."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightcnn.errors import InputError, LightcnnError
from lightcnn.explaining.checks import controls
from lightcnn.explaining.checks.checker import NAMES, RANDOMS, STEPS, Checker, Level
from lightcnn.explaining.checks.deletion_insertion import BLUR, Curves, area
from lightcnn.explaining.checks.map_sanity import WORDS, energy, frame, shape_of
from lightcnn.explaining.checks.mask_overlap import inside
from lightcnn.explaining.checks.ranks import agreement, overlap, places
from lightcnn.explaining.checks.reruns import DRAWS
from lightcnn.explaining.checks.self_reported import claims
from lightcnn.explaining.checks.weight_randomisation import redrawn
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.methods.attribution import Attribution, Method
from lightcnn.explaining.methods.blur import blurred
from lightcnn.explaining.methods.catalogue import MethodOptions, method

Map = NDArray[np.float32]
CLASSES = ("clear", "ill")
SIDE = 32
PATCH = np.zeros((SIDE, SIDE), dtype=np.bool_)
PATCH[2:10, 20:28] = True
"""Off the middle, and smooth in `picture`: no control finds it."""


class Weighing(nn.Module):
    """A sigmoid head whose logit is a weighted sum of the pixels, less a bias."""

    def __init__(self, weights: NDArray[np.floating[Any]], bias: float = 0.0) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.from_numpy(np.asarray(weights, dtype=np.float32)))
        self.bias, self.largest = bias, 0

    def forward(self, x: Tensor) -> Tensor:
        self.largest = max(self.largest, len(x))
        return ((x[:, 0] * self.weights).sum(dim=(1, 2)) - self.bias)[:, None]


@dataclass(frozen=True)
class Fake:
    """A method that is any function of the network, image, target and seed."""

    find: Callable[[ExplainedNetwork, Tensor, int, int], Any]
    name: str = "fake"
    seed: int = 0

    def __call__(self, explained: ExplainedNetwork, inputs: Tensor, target: int) -> Attribution:
        found = np.asarray(self.find(explained, inputs, target, self.seed), dtype=np.float32)
        return Attribution(self.name, found, facts={"r2": 0.9} if self.name == "lime" else {})


def gradient(explained: ExplainedNetwork, inputs: Tensor, target: int, seed: int) -> Map:
    """Gradient times input."""
    leaf = inputs.clone().requires_grad_()
    (slope,) = torch.autograd.grad(explained.score(leaf, target).sum(), leaf)
    return np.asarray((slope * inputs).sum(dim=1)[0])


def picture(seed: int = 0) -> Tensor:
    """Noise around the training mean, and the smooth patch at 1: (1, 1, SIDE, SIDE)."""
    pixels = np.random.default_rng(seed).normal(0, 0.7, (SIDE, SIDE)).astype(np.float32)
    pixels[PATCH] = 1
    return torch.from_numpy(pixels)[None, None]


def patched(batch: int = 32) -> ExplainedNetwork:
    """A network that sees the patch alone: all of it gives a logit of 4, none of it -4."""
    return ExplainedNetwork.bare(Weighing(PATCH * 8 / PATCH.sum(), 4), 1, CLASSES, batch=batch)


def checked(
    explained: ExplainedNetwork,
    way: Method,
    image: Tensor | None = None,
    *,
    target: int = 1,
    mask: NDArray[np.bool_] | None = None,
    level: Level = "full",
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """The checks of a method's map of an image, `picture` if none is given."""
    image = picture() if image is None else image
    return Checker(explained, level=level, seed=seed).image(image, target, mask)(way(explained, image, target), way)


def judged(found: Any, level: Level = "quick", **options: Any) -> dict[str, dict[str, Any]]:
    """The checks of one map of `picture`."""
    return checked(patched(), Fake(lambda *_: found), level=level, **options)


def test_the_true_map_beats_every_control_and_its_inverse_loses() -> None:
    right, wrong = judged(PATCH), judged(-1.0 * PATCH)
    for name in ("deletion", "insertion"):
        assert right[name]["passed"] is True
        assert right[name]["margin"] > 0.05
        assert wrong[name]["passed"] is False
        assert wrong[name]["margin"] < -0.1
        assert set(right[name]["controls"]) == {"random", "centre", "edges"}
    areas = right["deletion"]["controls"].values()
    assert right["deletion"]["margin"] == pytest.approx(min(areas) - right["deletion"]["value"])
    areas = right["insertion"]["controls"].values()
    assert right["insertion"]["margin"] == pytest.approx(right["insertion"]["value"] - max(areas))


def test_deletion_by_hand() -> None:
    weights = np.array([[1.0, 2.0], [4.0, 8.0]])
    curves = Curves(ExplainedNetwork.bare(Weighing(weights, 7), 1, CLASSES), torch.ones(1, 1, 2, 2), 1, 4, 1, 0)
    line = curves.walk("deletion", [weights])[0]
    expected = [1 / (1 + math.exp(-logit)) for logit in (15 - 7, 7 - 7, 3 - 7, 1 - 7, 0 - 7)]
    assert line == pytest.approx(expected, abs=1e-6)
    by_hand = sum((one + other) / 2 for one, other in pairwise(expected)) / 4
    assert area(line, curves.fractions) == pytest.approx(by_hand)
    inverse = [1 / (1 + math.exp(-logit)) for logit in (15 - 7, 14 - 7, 12 - 7, 8 - 7, 0 - 7)]
    assert curves.walk("deletion", [-weights])[0] == pytest.approx(inverse, abs=1e-6)
    assert curves.walk("deletion", [weights])[0] == pytest.approx(1 - _of_first_class(curves, weights))


def _of_first_class(curves: Curves, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return Curves(curves.explained, curves.inputs, 0, 4, 1, 0).walk("deletion", [weights])[0]


def test_insertion_begins_with_the_blurred_image_and_ends_with_the_image() -> None:
    explained, image = patched(), picture()
    line = Curves(explained, image, 1, 16, 1, 0).walk("insertion", [PATCH.astype(float)])[0]
    soft = blurred(image, BLUR * SIDE)
    shown = torch.where(torch.from_numpy(PATCH), image, soft)
    assert PATCH.mean() == 1 / 16
    for at, expected in ((0, soft), (1, shown), (16, image)):
        assert line[at] == pytest.approx(float(explained.probabilities(expected)[0, 1]), abs=1e-6)
    assert line[0] < 0.9 < line[1]


def test_the_steps_of_a_curve_end_at_all_pixels_of_any_image() -> None:
    for side, steps in ((1, 20), (3, 20), (28, 20), (128, 50)):
        curves = Curves(patched(), torch.zeros(1, 1, side, side), 0, steps, 1, 0)
        assert (curves.fractions[0], curves.fractions[-1]) == (0, 1)
        assert len(curves.fractions) == min(steps, side**2) + 1


def test_a_constant_map_is_an_order_of_chance_and_fails() -> None:
    flat = judged(np.ones((SIDE, SIDE)))
    order = places(np.ones((SIDE, SIDE)), 0)
    assert sorted(order.ravel()) == list(range(SIDE**2))
    assert abs(np.corrcoef(order.ravel(), np.arange(SIDE**2))[0, 1]) < 0.1
    for name in ("deletion", "insertion"):
        assert flat[name]["value"] == pytest.approx(flat[name]["controls"]["random"], abs=0.05)
        assert flat[name]["passed"] is False
        assert "chance" in flat[name]["says"]


def test_places_put_the_highest_first_and_draw_lots_between_equals() -> None:
    found = np.array([[3.0, -1.0], [0.0, 0.0]])
    assert places(found, 0)[0].tolist() == [0, 3]
    assert {tuple(places(found, seed)[1]) for seed in range(20)} == {(1, 2), (2, 1)}


def test_controls_do_what_they_say() -> None:
    middle = controls.centre(9, 5)
    assert np.unravel_index(middle.argmax(), middle.shape) == (4, 2)
    assert middle[0, 0] == middle.min() == middle[-1, -1]
    step = torch.zeros(1, 1, SIDE, SIDE)
    step[..., 20:] = 1
    found = controls.edges(patched(), step)
    assert set(found.argmax(axis=1)) <= {19, 20}
    assert np.abs(controls.random(8, 8, 0, 0) - controls.random(8, 8, 0, 1)).max() > 0.1


def test_the_control_of_chance_is_the_mean_of_several_curves() -> None:
    curves = Curves(patched(), picture(), 1, 10, 3, 7)
    lines = curves.walk("deletion", [controls.random(SIDE, SIDE, 7, number) for number in range(3)])
    assert curves.controls["deletion"]["random"] == pytest.approx(lines.mean(axis=0))


def test_a_network_that_is_blind_to_the_image_is_told() -> None:
    explained, way = ExplainedNetwork.bare(Weighing(PATCH * 0.1 / PATCH.sum()), 1, CLASSES), Fake(gradient)
    checks = checked(explained, way, level="quick")
    for name in ("deletion", "insertion"):
        assert checks[name]["blind"] is True
        assert "without the image is the same" in checks[name]["says"]
        assert judged(PATCH)[name]["blind"] is False


def test_numbers_that_overflow_are_told() -> None:
    explained = ExplainedNetwork.bare(Weighing(np.full((4, 4), np.inf)), 1, CLASSES)
    with pytest.raises(LightcnnError, match="overflow"):
        Curves(explained, torch.zeros(1, 1, 4, 4), 1, 4, 1, 0).walk("deletion", [np.zeros((4, 4))])


def convolutional() -> ExplainedNetwork:
    """A convolution and a dense layer, drawn by a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * SIDE**2, 2))
    return ExplainedNetwork.bare(model, 1, CLASSES)


def signs() -> Tensor:
    """An image of -1 and 1, whose magnitude tells nothing: (1, 1, SIDE, SIDE)."""
    return torch.from_numpy(np.random.default_rng(1).choice([-1.0, 1.0], (1, 1, SIDE, SIDE)).astype(np.float32))


def test_randomisation_tells_a_method_that_reads_the_network_from_one_that_does_not() -> None:
    explained = convolutional()
    reads = Fake(gradient)
    ignores = Fake(lambda explained, inputs, *_: controls.edges(explained, inputs))
    read, ignored = (checked(explained, way, signs())["randomisation"] for way in (reads, ignores))
    assert read["passed"] is True
    assert abs(read["value"]) < 0.5
    assert ignored["passed"] is False
    assert ignored["value"] == pytest.approx(1)


def test_randomisation_compares_magnitudes() -> None:
    """A redrawn top that turns every sign round and leaves the picture is no change."""
    found, explained = np.random.default_rng(0).normal(size=(SIDE, SIDE)), convolutional()
    way = Fake(lambda network, *_: found if network is explained else -found)
    checks = checked(explained, way, signs())
    assert checks["randomisation"]["passed"] is False


def test_a_map_that_becomes_constant_cannot_be_compared() -> None:
    explained = convolutional()
    way = Fake(lambda network, inputs, *_: inputs[0, 0] * (network is explained))
    checks = checked(explained, way)
    assert checks["randomisation"]["passed"] is None
    assert "cannot be compared" in checks["randomisation"]["says"]


class Scaled(nn.Module):
    """A parameter of its own and no way to reset it."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((1, 64, 1, 1), 3.0))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class Reversed(nn.Module):
    """Six modules with parameters, called in the reverse of the order in which they are named."""

    def __init__(self) -> None:
        super().__init__()
        self.scaled = Scaled()
        self.norm = nn.BatchNorm2d(64)
        self.convolutions = nn.ModuleList([nn.Conv2d(64, 64, 1), nn.Conv2d(64, 64, 1), nn.Conv2d(64, 64, 1)])
        self.first = nn.Conv2d(1, 64, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for part in reversed(self.convolutions):
            x = part(x)
        return self.scaled(self.norm(x)).mean(dim=(2, 3))[:, :2]


def test_the_third_that_is_called_last_is_redrawn_and_nothing_else() -> None:
    model = Reversed()
    model.norm.running_mean.fill_(5.0)
    explained = ExplainedNetwork.bare(model, 1, CLASSES)
    before = {name: held.clone() for name, held in explained.model.state_dict().items()}
    state = torch.random.get_rng_state()
    one, same, other = (redrawn(explained, torch.zeros(1, 1, 8, 8), seed) for seed in (0, 0, 1))
    assert torch.equal(state, torch.random.get_rng_state())
    after = one.model.state_dict()
    assert all(torch.equal(held, before[name]) for name, held in explained.model.state_dict().items())
    assert all(torch.equal(held, same.model.state_dict()[name]) for name, held in after.items())
    changed = {name for name, held in after.items() if not torch.equal(held, before[name])}
    assert changed == {"scaled.scale", "norm.running_mean"}
    assert not torch.equal(after["scaled.scale"], other.model.state_dict()["scaled.scale"])
    assert float(after["scaled.scale"].square().mean().sqrt()) == pytest.approx(3, rel=0.3)
    assert float(after["norm.running_mean"].abs().sum()) == 0
    assert not one.model.training
    assert not any(part._forward_hooks for part in one.model.modules())
    assert not any(held.requires_grad for held in one.model.parameters())


def test_a_signal_survives_the_redrawn_top() -> None:
    """Ten dense layers, as PyTorch draws them by default, answer every image alike to five digits."""
    layers = [part for _ in range(10) for part in (nn.Linear(64, 64), nn.ReLU())]
    model = nn.Sequential(nn.Flatten(), *[nn.Linear(64, 64) for _ in range(22)], *layers, nn.Linear(64, 2))
    images = torch.randn(32, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for part in model[:23]:
            if isinstance(part, nn.Linear):
                nn.init.eye_(part.weight)
    explained = ExplainedNetwork.bare(model, 1, CLASSES)
    assert float(explained.logits(images).std(dim=0).max()) < 1e-2
    assert float(redrawn(explained, images, 0).logits(images).std(dim=0).min()) > 0.1


def test_redrawing_seeds_no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    subject, seeded = convolutional(), list[int]()
    for accelerator in (torch.cuda, torch.mps, torch.xpu):
        monkeypatch.setattr(accelerator, "manual_seed_all", seeded.append, raising=False)
        monkeypatch.setattr(accelerator, "manual_seed", seeded.append, raising=False)
    redrawn(subject, signs(), 7)
    assert not seeded


def test_the_redrawn_network_is_made_once() -> None:
    checker = Checker(convolutional(), level="full")
    assert checker.forgetful(signs()) is checker.forgetful(picture())


def stability(find: Callable[..., Any], explained: ExplainedNetwork | None = None) -> dict[str, Any]:
    """That check of a method on `picture`."""
    explained, way = explained or patched(), Fake(find)
    checks = checked(explained, way)
    return checks["stability"]


def test_stability_of_methods_that_follow_the_image_or_throw_dice() -> None:
    steady = stability(lambda explained, inputs, *_: inputs[0, 0])
    assert steady["passed"] is True
    assert steady["value"] > 0.95
    assert 0.7 < steady["overlap"] < 1
    assert steady["images"] == steady["of"] == DRAWS
    dice = np.random.default_rng(0)
    erratic = stability(lambda *_: dice.normal(size=(SIDE, SIDE)))
    assert erratic["passed"] is False
    assert abs(erratic["value"]) < 0.1
    assert erratic["overlap"] < 0.25


def test_stability_of_a_constant_method_is_not_comparable() -> None:
    found = stability(lambda *_: np.ones((SIDE, SIDE)))
    assert (found["value"], found["passed"]) == (None, None)
    assert "cannot be compared" in found["says"]


class Pedantic(nn.Module):
    """The second class is one image alone, to the last digit."""

    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Parameter(picture())

    def forward(self, x: Tensor) -> Tensor:
        return torch.where((x == self.only).flatten(1).all(dim=1), 1.0, -1.0)[:, None]


def test_stability_is_not_judged_where_the_prediction_changes() -> None:
    found = stability(lambda explained, inputs, *_: inputs[0, 0], ExplainedNetwork.bare(Pedantic(), 1, CLASSES))
    assert (found["value"], found["passed"], found["images"]) == (None, None, 0)
    assert "changes the prediction" in found["says"]


def test_the_prediction_that_noise_leaves_is_that_of_the_threshold() -> None:
    """A probability of 0.3 moves round a threshold of 0.3, and never round 0.5."""
    wide = ExplainedNetwork.bare(Weighing(np.full((SIDE, SIDE), 0.1), 0.85), 1, CLASSES)
    image = torch.zeros(1, 1, SIDE, SIDE)
    image[0, 0, 0, :2] = torch.tensor([-5.0, 5.0])
    told = [_images(replace(wide, threshold=threshold), image) for threshold in (0.5, 0.3)]
    assert told[0] == DRAWS > told[1]


def _images(explained: ExplainedNetwork, image: Tensor) -> int:
    found: int = checked(explained, Fake(gradient), image)["stability"]["images"]
    return found


def test_a_method_is_held_to_the_layer_that_it_chose() -> None:
    @dataclass(frozen=True)
    class Layered(Fake):
        layer: str | None = None

        def __call__(self, explained: ExplainedNetwork, inputs: Tensor, target: int) -> Attribution:
            asked.append(self.layer)
            return Attribution("fake", np.asarray(inputs[0, 0]), layer="stages.3")

    asked: list[str | None] = []
    checked(convolutional(), Layered(gradient))
    assert asked == [None, *["stages.3"] * (1 + DRAWS)]


def test_seeds_of_lime() -> None:
    steady = Fake(lambda explained, inputs, *_: inputs[0, 0], "lime")
    erratic = Fake(lambda *of: np.random.default_rng(of[3]).normal(size=(SIDE, SIDE)), "lime")
    one, other = (checked(patched(), way, level="quick")["seeds"] for way in (steady, erratic))
    assert (one["passed"], one["value"], one["ranks"]) == (True, pytest.approx(1), pytest.approx(1))
    assert other["passed"] is False
    assert abs(other["value"]) < 0.1
    peak = Fake(lambda *of: np.random.default_rng(of[3]).normal(0, 0.01, (SIDE, SIDE)) + PATCH, "lime")
    third = checked(patched(), peak, level="quick")["seeds"]
    assert third["ranks"] < 0.5 < 0.99 < third["value"], "ranks of what hardly matters do not decide"
    assert third["passed"]


def test_agreement_and_overlap_by_hand() -> None:
    one = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert agreement(one, one**3) == pytest.approx(1)
    assert agreement(one, np.array([[4.0, 3.0], [2.0, 1.0]])) == pytest.approx(-1)
    assert agreement(one, np.array([[1.0, 2.0], [4.0, 3.0]])) == pytest.approx(0.8)
    assert agreement(one, np.full((2, 2), 7.0)) is None
    assert agreement(one, np.full((2, 2), 7.0) + np.array([[1e-7, 0], [0, 0]])) is None
    assert agreement(one, np.array([[1.0, np.nan], [3, 4]])) is None
    row = np.arange(100.0).reshape(10, 10)
    assert (overlap(row, row, 0), overlap(row, -row, 0)) == (1, 0)
    assert overlap(row, np.roll(row, 4), 0) == pytest.approx(0.6)


def test_claims_are_held_against_their_bounds() -> None:
    found = claims({"completeness_error": 0.01, "steps": 64, "r2": 0.5})
    assert [found[name]["passed"] for name in ("completeness", "fit")] == [True, True]
    assert (found["completeness"]["value"], found["completeness"]["steps"]) == (0.01, 64)
    worse = claims({"completeness_error": 0.0101, "r2": 0.499})
    assert [worse[name]["passed"] for name in ("completeness", "fit")] == [False, False]
    unknown = claims({"completeness_error": math.nan, "r2": None})
    assert [(unknown[name]["value"], unknown[name]["passed"]) for name in unknown] == [(None, None)] * 2
    assert claims({"baseline": "black"}) == {}


def masked(found: Any, mask: Any) -> dict[str, Any]:
    return inside(np.asarray(found, dtype=np.float32), np.asarray(mask, dtype=np.bool_))


def test_a_mask_by_hand() -> None:
    mask = np.zeros((4, 4))
    mask[0, :2] = 1
    found = np.zeros((4, 4))
    found[0, 0], found[3, 3], found[2, 2] = 3, 1, -50
    right = masked(found, mask)
    assert (right["value"], right["area"], right["ratio"]) == (0.75, 0.125, 6)
    assert (right["pointing"], right["passed"]) == (True, True)
    wrong = masked(found[::-1, ::-1], mask)
    assert (wrong["value"], wrong["pointing"], wrong["passed"]) == (0.25, False, False)
    spread = masked(np.ones((4, 4)), mask)
    assert (spread["ratio"], spread["pointing"], spread["passed"]) == (1, False, False)


def test_whether_the_network_needs_what_is_marked() -> None:
    """The patch decides and nothing else: without it the answer is gone, without another place it stands."""
    right, wrong = (judged(PATCH, mask=mask)["mask"]["needed"] for mask in (PATCH, PATCH[::-1]))
    assert right["deletion"] == pytest.approx(judged(PATCH)["deletion"]["value"], abs=1e-6)
    assert right["deletion"] < right["random"] < wrong["deletion"]
    for mask in (PATCH & False, PATCH | True):
        assert judged(PATCH, mask=mask)["mask"]["needed"] is None


def test_the_pointing_game_may_miss_by_a_few_pixels() -> None:
    mask = np.zeros((112, 112))
    mask[50:60, 50:60] = 1
    for right, hit in ((66, True), (67, False)):
        found = np.zeros((112, 112))
        found[55, right] = 1
        assert masked(found, mask)["pointing"] is hit, "59 + 112 × 15 / 224 = 66.5"


@pytest.mark.parametrize(
    ("found", "mask", "passed", "says"),
    [
        (np.ones((4, 4)), np.zeros((4, 4)), None, "empty"),
        (np.ones((4, 4)), np.eye(4) < 1, None, "over half"),
        (np.zeros((4, 4)), np.eye(4), False, "nowhere above 0"),
        (-np.ones((4, 4)), np.eye(4), False, "nowhere above 0"),
        (np.full((4, 4), np.nan), np.eye(4), False, "not finite"),
    ],
)
def test_what_a_mask_cannot_tell(found: Any, mask: Any, passed: bool | None, says: str) -> None:
    result = masked(found, mask)
    assert (result["passed"], result["value"]) == (passed, None)
    assert says in result["says"]


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match=r"\(3, 3\) does not fit a map of \(4, 4\)"):
        masked(np.ones((4, 4)), np.ones((3, 3)))


BUMP = np.exp(-((np.arange(SIDE)[:, None] - 12) ** 2 + (np.arange(SIDE)[None] - 18) ** 2) / 20)


@pytest.mark.parametrize(
    ("found", "warning"),
    [
        (np.where(BUMP > 0.9, np.nan, BUMP), "nonfinite"),
        (np.where(BUMP > 0.9, np.inf, BUMP), "nonfinite"),
        (np.zeros((SIDE, SIDE)), "zero"),
        (np.full((SIDE, SIDE), 2.0) + 1e-7 * BUMP, "constant"),
        (np.full((SIDE, SIDE), -2.0), "constant"),
        (BUMP - 2, "negative"),
        (np.where(frame(SIDE, SIDE), 1, 0.01 * BUMP), "border"),
    ],
)
def test_degenerate_maps_each_have_their_warning(found: NDArray[np.float64], warning: str) -> None:
    checks = judged(found, level="full", mask=PATCH)
    assert checks["map"]["warnings"] == [warning]
    assert checks["map"]["passed"] is False
    assert checks["map"]["says"] == WORDS[warning]
    json.dumps(checks, allow_nan=False)


def test_a_map_with_a_shape_has_no_warning() -> None:
    checks = judged(BUMP)
    assert (checks["map"]["warnings"], checks["map"]["passed"], checks["map"]["says"]) == ([], True, "")


def test_background_is_what_is_black() -> None:
    image = torch.rand(1, 1, SIDE, SIDE) + 0.1
    image[..., :8] = 0.001
    on_black, elsewhere = np.zeros((SIDE, SIDE), np.float32), BUMP.astype(np.float32)
    on_black[10:20, 3:7] = 1
    for found, warnings in ((on_black, ["background"]), (elsewhere, [])):
        result = shape_of(found, patched(), image)
        assert result["warnings"] == warnings
        assert result["background"] == {"energy": pytest.approx(float(energy(found)[:, :8].sum())), "area": 0.25}
    assert shape_of(on_black, patched(), image - 0.5)["background"]["area"] == 0, "no black below 0"


@pytest.mark.parametrize(("side", "told"), [(10, False), (11, True)])
def test_from_11_pixels_on_a_map_can_sit_on_the_border(side: int, told: bool) -> None:
    found = frame(side, side).astype(np.float32)
    shape = shape_of(found, patched(), torch.ones(1, 1, side, side))
    assert ("border" in shape["warnings"]) == told


def test_the_border_of_any_image_is_at_least_a_pixel_wide() -> None:
    assert frame(100, 40).sum() == 100 * 40 - 90 * 36
    assert frame(4, 4).sum() == 12
    assert frame(1, 1).all()


@pytest.mark.parametrize(
    ("level", "name", "mask", "expected"),
    [
        ("none", "lime", PATCH, []),
        ("quick", "fake", None, ["map", "deletion", "insertion"]),
        ("quick", "lime", PATCH, ["map", "deletion", "insertion", "fit", "seeds", "mask"]),
        ("full", "fake", PATCH, ["map", "deletion", "insertion", "randomisation", "stability", "mask"]),
        ("full", "lime", None, ["map", "deletion", "insertion", "fit", "seeds", "randomisation", "stability"]),
    ],
)
def test_every_level_has_its_checks(level: Level, name: str, mask: Any, expected: list[str]) -> None:
    explained, way = patched(), Fake(gradient, name)
    checks = checked(explained, way, level=level, mask=mask)
    assert list(checks) == expected
    assert set(checks) <= set(NAMES)
    for check in checks.values():
        assert set(check) >= {"value", "passed", "rule", "says"}
        assert check["passed"] in (True, False, None)
        assert check["rule"]
    json.dumps(checks, allow_nan=False)


@pytest.mark.parametrize(
    ("name", "own"),
    [("gradcam", set()), ("ig", {"completeness"}), ("lime", {"fit", "seeds"}), ("occlusion", set())],
)
def test_the_methods_that_are_there_are_judged(name: str, own: set[str]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        body = [nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
        model = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    explained = ExplainedNetwork.bare(model, 1, ("a", "b", "c"))
    checks = checked(explained, method(name, MethodOptions(samples=64)), target=2, mask=PATCH)
    assert set(checks) == {"map", "deletion", "insertion", "randomisation", "stability", "mask"} | own
    for made in own:
        assert checks[made]["value"] is not None, made
    json.dumps(checks, allow_nan=False)


def test_full_looks_more_closely() -> None:
    for level in ("quick", "full"):
        checks = judged(PATCH, level=level)  # type: ignore[arg-type]
        lines = checks["deletion"]["curves"]
        assert checks["deletion"]["steps"] == STEPS[level]
        assert set(lines) == {"fractions", "map", "random", "centre", "edges"}
        assert {len(line) for line in lines.values()} == {STEPS[level] + 1}
    assert RANDOMS["full"] > RANDOMS["quick"]


def test_the_same_seed_gives_the_same_digits_and_leaves_the_random_state() -> None:
    states = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    found = []
    for seed in (3, 3, 4):
        explained, way = convolutional(), Fake(gradient)
        found.append(json.dumps(checked(explained, way, mask=PATCH, seed=seed)))
    assert found[0] == found[1] != found[2]
    assert torch.equal(states[0], torch.random.get_rng_state())
    assert (states[1] == np.random.get_state()[1]).all()  # type: ignore[index]


def test_the_network_never_reads_more_images_at_once_than_it_was_given_room_for() -> None:
    areas = []
    for batch in (5, 64):
        explained, way = patched(batch), Fake(gradient)
        checks = checked(explained, way)
        assert explained.model.largest == batch
        areas.append(checks["insertion"]["value"])
    assert areas[0] == pytest.approx(areas[1], abs=1e-6)


def test_the_smallest_image_is_judged() -> None:
    explained, way = ExplainedNetwork.bare(Weighing(np.ones((1, 1))), 1, CLASSES), Fake(gradient)
    image = torch.ones(1, 1, 1, 1)
    checks = checked(explained, way, image)
    assert checks["map"]["warnings"] == ["constant"]
    json.dumps(checks, allow_nan=False)
