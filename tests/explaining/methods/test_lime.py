"""LIME finds the linear model where there is one, as the package lime does, and says when there is none."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage.measure import label
from sklearn.linear_model import Ridge
from torch import Tensor, nn

from lightcnn.data.preprocess import Preprocess
from lightcnn.data.sources.lesion_painter import paint_lesions as lesions
from lightcnn.errors import InputError
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.methods.lime import Lime, draw, fit, hidden, proximity
from lightcnn.explaining.methods.superpixels import superpixels
from lightcnn.network import build
from lightcnn.spec import ConvBlock, HeadSpec, NetworkSpec

CLASSES = ("clear", "ill")
PICTURE = lesions(count=4, size=48, seed=3).images[0]
INPUTS = torch.from_numpy(PICTURE).permute(2, 0, 1)[None].float() / 255
SEGMENTS = superpixels(INPUTS[0].permute(1, 2, 0).numpy())
COUNT = int(SEGMENTS.max()) + 1


class Shown(nn.Module):
    """A sigmoid head whose second probability is 0.5 plus a weight for each superpixel that shows more than its mean.

    It looks at one pixel of each, the farthest from its mean colour.
    """

    def __init__(self, inputs: Tensor, segments: np.ndarray, weights: np.ndarray) -> None:
        super().__init__()
        flat = hidden(inputs, segments)[0, 0].flatten()
        far = (inputs[0, 0].flatten() - flat).abs()
        places = [int(np.flatnonzero(segments.ravel() == one)[far[segments.ravel() == one].argmax()])
                  for one in range(len(weights))]  # fmt: skip
        self.places, self.off, self.weights = places, flat[places].double(), torch.from_numpy(weights)
        self.step = inputs[0, 0].flatten()[places].double() - self.off
        assert self.step.abs().min() > 1e-3

    def forward(self, x: Tensor) -> Tensor:
        presence = (x[:, 0].flatten(1)[:, self.places].double() - self.off) / self.step
        return torch.logit(0.5 + presence @ self.weights)[:, None]


def linear(seed: int = 0) -> tuple[np.ndarray, ExplainedNetwork]:
    """Weights (segments,) and a network that is linear in the superpixels of INPUTS."""
    weights = np.random.default_rng(seed).normal(0, 0.3 / COUNT, COUNT)
    return weights, ExplainedNetwork.bare(Shown(INPUTS, SEGMENTS, weights), 3, CLASSES)


def network(output: str = "softmax", classes: int = 3, channels: int = 3) -> nn.Module:
    """A small network that is not linear, whose probabilities move by tenths when superpixels are hidden."""
    found = build(
        NetworkSpec(input=(channels, 48, 48), classes=classes, head=HeadSpec(output=output),
                    stages=(ConvBlock(width=6, kernel=3, stride=2), ConvBlock(width=8, kernel=3))), seed=1,
    )  # fmt: skip
    last = [part for part in found.modules() if isinstance(part, nn.Linear)][-1]
    last.weight.data *= 1000
    last.bias.data -= found.eval()(INPUTS[:, :channels])[0].detach()
    return found


def of_segments(attribution) -> np.ndarray:
    """The weight of each superpixel (segments,), which its whole patch must have."""
    segments, found = attribution.segments, attribution.map
    weights = np.array([found[segments == one][0] for one in range(segments.max() + 1)])
    np.testing.assert_array_equal(weights[segments], found)
    return weights


def test_the_weights_of_a_linear_model_are_found_exactly_without_ridge():
    truth, explained = linear()
    found = Lime(samples=300, ridge=0.0)(explained, INPUTS, 1)
    np.testing.assert_array_equal(found.segments, SEGMENTS)
    np.testing.assert_allclose(of_segments(found), truth, atol=1e-6)
    assert found.facts["r2"] == pytest.approx(1, abs=1e-9)
    assert found.facts["intercept"] == pytest.approx(0.5, abs=1e-6)
    assert found.map.dtype == np.float32 and found.map.shape == (48, 48)
    assert not found.notes and found.layer is None and found.method == Lime().name == "lime"


def test_with_ridge_they_are_shrunk_and_keep_their_order():
    truth, explained = linear(1)
    found = of_segments(Lime(samples=4000)(explained, INPUTS, 1))
    # A presence has variance 1/4 and samples count about a half: ridge 1 takes about 1 of 4000 · 0.5 / 4 = 500.
    np.testing.assert_allclose(found, truth, atol=0.01 * abs(truth).max())
    far = np.diff(np.sort(truth)) > 0.02 * abs(truth).max()
    assert far.sum() >= 5
    ranks = np.concatenate([[0], np.cumsum(far)])[np.argsort(np.argsort(truth))]
    assert all(found[ranks < one].max() < found[ranks >= one].min() for one in range(1, ranks.max() + 1))


def test_the_fit_is_scikit_learns_ridge():
    random = np.random.default_rng(5)
    shown, values = draw(80, 12, 5), random.normal(size=80)
    counts = proximity(shown, 0.25)
    peer = Ridge(alpha=1.0).fit(shown, values, sample_weight=counts)
    found = fit(shown, values, counts)
    np.testing.assert_allclose(found.weights, peer.coef_, atol=1e-12)
    assert found.intercept == pytest.approx(peer.intercept_, abs=1e-12)
    assert found.r2 == pytest.approx(peer.score(shown, values, sample_weight=counts), abs=1e-12)


def test_samples_count_by_their_cosine_distance():
    shown = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]], dtype=bool)
    np.testing.assert_allclose(proximity(shown, 0.25), np.exp([0, -0.25 / 0.125, -1 / 0.125]), rtol=1e-12)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", [0, 2])
def test_it_is_the_package_lime_on_the_same_samples(target):
    lime_image = pytest.importorskip("lime.lime_image")

    class Ours(np.random.RandomState):
        """Draws our samples."""

        def randint(self, low, high, size):
            return draw(size // COUNT, COUNT, 7).astype(int).ravel()

    explained = ExplainedNetwork.bare(network(), 3, ("a", "b", "c"))
    found = Lime(samples=200, seed=7)(explained, INPUTS, target)
    peer = lime_image.LimeImageExplainer(random_state=Ours()).explain_instance(
        INPUTS[0].permute(1, 2, 0).numpy(),
        lambda images: explained.probabilities(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy(),
        labels=(target,), top_labels=None, num_samples=200, segmentation_fn=lambda image: SEGMENTS, random_seed=0,
    )  # fmt: skip
    theirs = np.array([weight for _, weight in sorted(peer.local_exp[target])])
    ours = of_segments(found)
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * abs(theirs).max())
    assert found.facts["spread"] > 0.05
    assert found.facts["intercept"] == pytest.approx(peer.intercept[target], abs=1e-5)
    assert found.facts["r2"] == pytest.approx(peer.score, abs=1e-4)


def test_the_same_seed_gives_the_same_digits_and_another_does_not():
    explained = ExplainedNetwork.bare(network(), 3, ("a", "b", "c"))
    method = Lime(samples=60, seed=2)
    before, random = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    one, same, other = (each(explained, INPUTS, 1) for each in (method, method, replace(method, seed=3)))
    np.testing.assert_array_equal(one.map, same.map)
    assert one.facts == same.facts and one.notes == same.notes
    assert (one.map != other.map).any()
    np.testing.assert_array_equal(one.segments, other.segments)
    assert torch.equal(before, torch.random.get_rng_state())
    np.testing.assert_array_equal(random, np.random.get_state()[1])


def test_another_batch_changes_only_rounding_and_bounds_what_goes_through_at_once():
    maps, sizes = [], []
    for batch in (7, 64):
        explained = ExplainedNetwork.bare(network(), 3, ("a", "b", "c"), batch=batch)
        seen = []
        explained.model.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(len(given[0])))
        maps.append(Lime(samples=100)(explained, INPUTS, 0).map)
        sizes.append(seen)
    assert sizes == [[7] * 14 + [2], [64, 36]]
    np.testing.assert_allclose(maps[0], maps[1], atol=1e-4 * abs(maps[0]).max())


def test_the_two_classes_of_a_sigmoid_head_have_opposite_maps():
    explained = ExplainedNetwork.bare(network("sigmoid", 2), 3, CLASSES)
    first, second = (Lime(samples=120)(explained, INPUTS, target) for target in (0, 1))
    assert first.facts["spread"] > 0.05
    np.testing.assert_allclose(first.map, -second.map, atol=1e-6 * abs(first.map).max())
    assert first.facts["intercept"] + second.facts["intercept"] == pytest.approx(1)
    assert first.facts["r2"] == pytest.approx(second.facts["r2"])


def test_what_is_hidden_has_the_mean_colour_of_its_superpixel():
    found = hidden(INPUTS, SEGMENTS)[0].numpy()
    for one in range(COUNT):
        inside = one == SEGMENTS
        means = INPUTS[0].double().numpy()[:, inside].mean(axis=1)
        np.testing.assert_allclose(found[:, inside], np.repeat(means[:, None], inside.sum(), 1), rtol=1e-6)


def test_samples_show_the_image_or_the_mean_colours_and_the_first_shows_all():
    explained, seen = ExplainedNetwork.bare(network(), 3, ("a", "b", "c")), []
    explained.model.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    Lime(samples=40, seed=9)(explained, INPUTS, 0)
    images, flat = torch.cat(seen), hidden(INPUTS, SEGMENTS)[0]
    assert torch.equal(images[0], INPUTS[0])
    for image, shown in zip(images, draw(40, COUNT, 9), strict=True):
        kept = torch.from_numpy(shown[SEGMENTS])
        assert torch.equal(image, torch.where(kept, INPUTS[0], flat))
    assert 0.4 < draw(40, COUNT, 9)[1:].mean() < 0.6


def test_superpixels_are_those_of_the_picture_whatever_the_network_reads():
    rule = Preprocess(size=48, channels=3, shorter_side=48, mean=(0.5, 0.4, 0.3), deviation=(0.2, 0.3, 0.1),
                      classes=("a", "b", "c"))  # fmt: skip
    explained = ExplainedNetwork.of(network(), rule)
    pixels = torch.from_numpy(PICTURE).permute(2, 0, 1)[None]
    found = Lime(samples=60)(explained, explained.inputs(pixels), 0).segments
    assert (found == superpixels(PICTURE)).mean() > 0.99


@pytest.mark.parametrize("size, count", [((128, 128), 64), ((224, 224), 100), ((32, 32), 16), ((64, 128), 32)])
def test_their_number_is_scaled_to_the_image(size, count):
    flat = superpixels(np.full((*size, 3), 99, dtype=np.uint8))
    assert abs(flat.max() + 1 - count) <= count / 8
    assert 3 <= superpixels(np.full((*size, 3), 99, dtype=np.uint8), 4).max() + 1 <= 4


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2), (40, 56)])
@pytest.mark.parametrize("kind", ["flat", "noise"])
def test_every_image_has_them_and_each_is_in_one_piece(channels, size, kind):
    random = np.random.default_rng(0)
    shape = (*size, channels)
    pixels = np.full(shape, 7, np.uint8) if kind == "flat" else random.integers(0, 256, shape).astype(np.uint8)
    for count in (None, 1, 6):
        found = superpixels(pixels, count)
        assert found.shape == size and found.dtype == np.int64
        np.testing.assert_array_equal(np.unique(found), np.arange(found.max() + 1))
        assert all(label(found == one, connectivity=1).max() == 1 for one in range(found.max() + 1))
        if size == (40, 56):
            assert {None: 8, 1: 1, 6: 3}[count] <= found.max() + 1 <= {None: 32, 1: 1, 6: 12}[count]


def test_they_follow_an_edge():
    pixels = np.full((64, 64, 1), 40, dtype=np.uint8)
    pixels[:, 27:] = 200
    for picture in (pixels, pixels.repeat(3, 2)):
        found = superpixels(picture)
        assert not set(found[:, :27].ravel()) & set(found[:, 27:].ravel())


def test_a_grey_image_and_one_pixel_are_explained():
    grey = ExplainedNetwork.bare(network(channels=1), 1, ("a", "b", "c"))
    found = Lime(samples=100)(grey, INPUTS[:, :1], 0)
    assert found.segments.max() > 8 and abs(found.map).max() > 0
    point = ExplainedNetwork.bare(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)), 3, CLASSES)
    found = Lime(samples=10)(point, torch.ones(1, 3, 1, 1), 0)
    np.testing.assert_array_equal(found.map, [[0.0]])
    assert found.facts["segments"] == 1 and found.facts["r2"] is None
    assert "one superpixel" in found.notes[0]


def test_a_blind_network_has_an_empty_map_and_no_r2():
    blind = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    nn.init.zeros_(blind[2].weight)
    found = Lime(samples=100)(ExplainedNetwork.bare(blind, 3, CLASSES), INPUTS, 1)
    assert not found.map.any() and found.facts["r2"] is None and found.facts["spread"] == 0
    assert found.facts["intercept"] == pytest.approx(float(blind[2].bias.detach().softmax(0)[1]))
    assert [note for note in found.notes if "next to nothing to explain" in note]


class Parity(nn.Module):
    """Sure of one class if an even number of superpixels is shown, else of the other: nothing is linear in it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Shown(INPUTS, SEGMENTS, np.full(COUNT, 0.4 / COUNT))

    def forward(self, x: Tensor) -> Tensor:
        presence = (x[:, 0].flatten(1)[:, self.inner.places].double() - self.inner.off) / self.inner.step
        return 3 * torch.cos(np.pi * presence.sum(1, keepdim=True).round())


def test_a_linear_model_that_explains_little_is_said():
    found = Lime(samples=1000)(ExplainedNetwork.bare(Parity(), 3, CLASSES), INPUTS, 1)
    assert found.facts["r2"] < 0.2 and found.facts["spread"] > 0.9
    assert [note for note in found.notes if "linear model of superpixels explains little" in note]


def test_too_few_samples_are_said():
    _, explained = linear()
    assert re.match(rf"20 samples are few for {COUNT} superp", Lime(samples=20)(explained, INPUTS, 1).notes[-1])


@pytest.mark.parametrize("wrong", [{"samples": 1}, {"samples": 0}, {"segments": 0}, {"segments": -3}])
def test_settings_that_cannot_be(wrong):
    with pytest.raises(InputError, match=f"not {next(iter(wrong.values()))}$"):
        Lime(**wrong)


def test_an_image_of_one_colour_has_nothing_to_explain():
    explained = ExplainedNetwork.bare(network(), 3, ("a", "b", "c"))
    found = Lime(samples=100)(explained, torch.full((1, 3, 48, 48), 0.3), 0)
    assert found.facts["segments"] >= 9 and found.facts["spread"] < 1e-6
    assert "next to nothing to explain" in found.notes[0]
