"""LIME recovers a linear model, agrees with the package lime, and adds a note if a linear model does not fit."""

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
IMAGE = lesions(count=4, size=48, seed=3).images[0]
INPUTS = torch.from_numpy(IMAGE).permute(2, 0, 1)[None].float() / 255
SEGMENTS = superpixels(INPUTS[0].permute(1, 2, 0).numpy())
COUNT = int(SEGMENTS.max()) + 1


class Shown(nn.Module):
    """A sigmoid head whose second probability is 0.5 plus a weight for each superpixel that is shown.

    It reads one pixel of each superpixel, the number that differs most from the mean colour.
    """

    def __init__(self, inputs: Tensor, segments: np.ndarray, weights: np.ndarray) -> None:
        super().__init__()
        flat = torch.from_numpy(hidden(inputs.numpy(), segments)).float()[0, 0].flatten()
        far = (inputs[0, 0].flatten() - flat).abs()
        places = [int(np.flatnonzero(segments.ravel() == number)[far[segments.ravel() == number].argmax()])
                  for number in range(len(weights))]  # fmt: skip
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
    """A small nonlinear network whose probabilities change by tenths if superpixels are hidden."""
    model = build(
        NetworkSpec(input=(channels, 48, 48), classes=classes, head=HeadSpec(output=output),
                    stages=(ConvBlock(width=6, kernel=3, stride=2), ConvBlock(width=8, kernel=3))), seed=1,
    )  # fmt: skip
    last = [part for part in model.modules() if isinstance(part, nn.Linear)][-1]
    last.weight.data *= 1000
    last.bias.data -= model.eval()(INPUTS[:, :channels])[0].detach()
    return model


def segment_weights(attribution) -> np.ndarray:
    """The weight of each superpixel (segments,), which all its pixels must have."""
    segments, values = attribution.segments, attribution.map
    weights = np.array([values[segments == number][0] for number in range(segments.max() + 1)])
    np.testing.assert_array_equal(weights[segments], values)
    return weights


def test_without_ridge_the_weights_of_a_linear_model_are_exact():
    truth, explained = linear()
    attribution = Lime(samples=300, ridge=0.0)(explained, INPUTS, 1)
    np.testing.assert_array_equal(attribution.segments, SEGMENTS)
    np.testing.assert_allclose(segment_weights(attribution), truth, atol=1e-6)
    assert attribution.facts["r2"] == pytest.approx(1, abs=1e-9)
    assert attribution.facts["intercept"] == pytest.approx(0.5, abs=1e-6)
    assert attribution.map.dtype == np.float32 and attribution.map.shape == (48, 48)
    assert not attribution.notes and attribution.layer is None and attribution.method == Lime().name == "lime"


def test_with_ridge_the_weights_shrink_and_keep_their_order():
    truth, explained = linear(1)
    weights = segment_weights(Lime(samples=4000)(explained, INPUTS, 1))
    # A shown superpixel has variance 1/4 and samples have a mean weight of about 1/2: ridge 1 against 4000 · 0.5 / 4.
    np.testing.assert_allclose(weights, truth, atol=0.01 * abs(truth).max())
    far = np.diff(np.sort(truth)) > 0.02 * abs(truth).max()
    assert far.sum() >= 5
    ranks = np.concatenate([[0], np.cumsum(far)])[np.argsort(np.argsort(truth))]
    assert all(weights[ranks < rank].max() < weights[ranks >= rank].min() for rank in range(1, ranks.max() + 1))


def test_the_fit_agrees_with_scikit_learn():
    random = np.random.default_rng(5)
    shown, values = draw(80, 12, 5), random.normal(size=80)
    counts = proximity(shown, 0.25)
    peer = Ridge(alpha=1.0).fit(shown, values, sample_weight=counts)
    model = fit(shown, values, counts)
    np.testing.assert_allclose(model.weights, peer.coef_, atol=1e-12)
    assert model.intercept == pytest.approx(peer.intercept_, abs=1e-12)
    assert model.r2 == pytest.approx(peer.score(shown, values, sample_weight=counts), abs=1e-12)


def test_samples_are_weighted_by_their_cosine_distance():
    shown = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]], dtype=bool)
    np.testing.assert_allclose(proximity(shown, 0.25), np.exp([0, -0.25 / 0.125, -1 / 0.125]), rtol=1e-12)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", [0, 2])
def test_lime_agrees_with_the_package_lime_on_the_same_samples(target):
    lime_image = pytest.importorskip("lime.lime_image")

    class Ours(np.random.RandomState):
        """Returns the samples of lightcnn."""

        def randint(self, low, high, size):
            return draw(size // COUNT, COUNT, 7).astype(int).ravel()

    explained = ExplainedNetwork.bare(network(), 3, ("a", "b", "c"))
    attribution = Lime(samples=200, seed=7)(explained, INPUTS, target)
    peer = lime_image.LimeImageExplainer(random_state=Ours()).explain_instance(
        INPUTS[0].permute(1, 2, 0).numpy(),
        lambda images: explained.probabilities(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy(),
        labels=(target,), top_labels=None, num_samples=200, segmentation_fn=lambda image: SEGMENTS, random_seed=0,
    )  # fmt: skip
    theirs = np.array([weight for _, weight in sorted(peer.local_exp[target])])
    ours = segment_weights(attribution)
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * abs(theirs).max())
    assert attribution.facts["spread"] > 0.05
    assert attribution.facts["intercept"] == pytest.approx(peer.intercept[target], abs=1e-5)
    assert attribution.facts["r2"] == pytest.approx(peer.score, abs=1e-4)


def test_equal_seeds_give_equal_maps_and_other_seeds_do_not():
    explained = ExplainedNetwork.bare(network(), 3, ("a", "b", "c"))
    method = Lime(samples=60, seed=2)
    before, random = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    first, same, other = (lime(explained, INPUTS, 1) for lime in (method, method, replace(method, seed=3)))
    np.testing.assert_array_equal(first.map, same.map)
    assert first.facts == same.facts and first.notes == same.notes
    assert (first.map != other.map).any()
    np.testing.assert_array_equal(first.segments, other.segments)
    assert torch.equal(before, torch.random.get_rng_state())
    np.testing.assert_array_equal(random, np.random.get_state()[1])


def test_the_batch_size_changes_only_rounding_and_limits_the_images_at_once():
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


def test_a_hidden_superpixel_has_its_mean_colour():
    colours = hidden(INPUTS.numpy(), SEGMENTS)[0]
    for number in range(COUNT):
        inside = number == SEGMENTS
        means = INPUTS[0].double().numpy()[:, inside].mean(axis=1)
        np.testing.assert_allclose(colours[:, inside], np.repeat(means[:, None], inside.sum(), 1), rtol=1e-6)


def test_samples_show_pixels_or_mean_colours_and_the_first_shows_all():
    explained, seen = ExplainedNetwork.bare(network(), 3, ("a", "b", "c")), []
    explained.model.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    Lime(samples=40, seed=9)(explained, INPUTS, 0)
    images, flat = torch.cat(seen), torch.from_numpy(hidden(INPUTS.numpy(), SEGMENTS)[0]).float()
    assert torch.equal(images[0], INPUTS[0])
    for image, shown in zip(images, draw(40, COUNT, 9), strict=True):
        kept = torch.from_numpy(shown[SEGMENTS])
        assert torch.equal(image, torch.where(kept, INPUTS[0], flat))
    assert 0.4 < draw(40, COUNT, 9)[1:].mean() < 0.6


def test_superpixels_are_computed_on_pixels_and_not_on_inputs():
    rule = Preprocess(size=48, channels=3, shorter_side=48, mean=(0.5, 0.4, 0.3), deviation=(0.2, 0.3, 0.1),
                      classes=("a", "b", "c"))  # fmt: skip
    explained = ExplainedNetwork.of(network(), rule)
    pixels = torch.from_numpy(IMAGE).permute(2, 0, 1)[None]
    segments = Lime(samples=60)(explained, explained.inputs(pixels), 0).segments
    assert (segments == superpixels(IMAGE)).mean() > 0.99


@pytest.mark.parametrize("size, count", [((128, 128), 64), ((224, 224), 100), ((32, 32), 16), ((64, 128), 32)])
def test_the_number_of_superpixels_depends_on_the_image_size(size, count):
    flat = superpixels(np.full((*size, 3), 99, dtype=np.uint8))
    assert abs(flat.max() + 1 - count) <= count / 8
    assert 3 <= superpixels(np.full((*size, 3), 99, dtype=np.uint8), 4).max() + 1 <= 4


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2), (40, 56)])
@pytest.mark.parametrize("kind", ["flat", "noise"])
def test_every_superpixel_is_connected(channels, size, kind):
    random = np.random.default_rng(0)
    shape = (*size, channels)
    pixels = np.full(shape, 7, np.uint8) if kind == "flat" else random.integers(0, 256, shape).astype(np.uint8)
    for count in (None, 1, 6):
        segments = superpixels(pixels, count)
        assert segments.shape == size and segments.dtype == np.int64
        np.testing.assert_array_equal(np.unique(segments), np.arange(segments.max() + 1))
        assert all(label(segments == number, connectivity=1).max() == 1 for number in range(segments.max() + 1))
        if size == (40, 56):
            assert {None: 8, 1: 1, 6: 3}[count] <= segments.max() + 1 <= {None: 32, 1: 1, 6: 12}[count]


def test_superpixels_follow_an_edge():
    pixels = np.full((64, 64, 1), 40, dtype=np.uint8)
    pixels[:, 27:] = 200
    for image in (pixels, pixels.repeat(3, 2)):
        segments = superpixels(image)
        assert not set(segments[:, :27].ravel()) & set(segments[:, 27:].ravel())


def test_a_grey_image_and_a_single_pixel_are_explained():
    grey = ExplainedNetwork.bare(network(channels=1), 1, ("a", "b", "c"))
    attribution = Lime(samples=100)(grey, INPUTS[:, :1], 0)
    assert attribution.segments.max() > 8 and abs(attribution.map).max() > 0
    point = ExplainedNetwork.bare(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)), 3, CLASSES)
    attribution = Lime(samples=10)(point, torch.ones(1, 3, 1, 1), 0)
    np.testing.assert_array_equal(attribution.map, [[0.0]])
    assert attribution.facts["segments"] == 1 and attribution.facts["r2"] is None
    assert "single superpixel" in attribution.notes[0]


def test_a_network_that_ignores_the_image_has_an_empty_map_and_no_r2():
    blind = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    nn.init.zeros_(blind[2].weight)
    attribution = Lime(samples=100)(ExplainedNetwork.bare(blind, 3, CLASSES), INPUTS, 1)
    assert not attribution.map.any() and attribution.facts["r2"] is None and attribution.facts["spread"] == 0
    assert attribution.facts["intercept"] == pytest.approx(float(blind[2].bias.detach().softmax(0)[1]))
    assert [note for note in attribution.notes if "almost nothing to explain" in note]


class Parity(nn.Module):
    """Confident of one class if an even number of superpixels is shown, otherwise of the other: not linear at all."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Shown(INPUTS, SEGMENTS, np.full(COUNT, 0.4 / COUNT))

    def forward(self, x: Tensor) -> Tensor:
        presence = (x[:, 0].flatten(1)[:, self.inner.places].double() - self.inner.off) / self.inner.step
        return 3 * torch.cos(np.pi * presence.sum(1, keepdim=True).round())


def test_a_poor_linear_fit_is_noted():
    attribution = Lime(samples=1000)(ExplainedNetwork.bare(Parity(), 3, CLASSES), INPUTS, 1)
    assert attribution.facts["r2"] < 0.2 and attribution.facts["spread"] > 0.9
    assert [note for note in attribution.notes if "linear model of superpixels explains little" in note]


def test_too_few_samples_are_noted():
    _, explained = linear()
    assert re.match(rf"20 samples are few for {COUNT} superp", Lime(samples=20)(explained, INPUTS, 1).notes[-1])


@pytest.mark.parametrize("wrong", [{"samples": 1}, {"samples": 0}, {"segments": 0}, {"segments": -3}])
def test_invalid_options_are_refused(wrong):
    with pytest.raises(InputError, match=f"not {next(iter(wrong.values()))}$"):
        Lime(**wrong)


def test_an_image_of_one_colour_leaves_almost_nothing_to_explain():
    explained = ExplainedNetwork.bare(network(), 3, ("a", "b", "c"))
    attribution = Lime(samples=100)(explained, torch.full((1, 3, 48, 48), 0.3), 0)
    assert attribution.facts["segments"] >= 9 and attribution.facts["spread"] < 1e-6
    assert "almost nothing to explain" in attribution.notes[0]
