"""Checks that run a method again under a change that should, or should not, change its map."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lightcnn.explaining.checks.ranks import pearson, rank_correlation, top_overlap
from lightcnn.explaining.explained import Explained, Inputs
from lightcnn.explaining.methods.attribution import Attribution, Method

if TYPE_CHECKING:
    from torch import Tensor

    from lightcnn.explaining.explained_network import ExplainedNetwork

MIN_SEED_CORRELATION = 0.7
MAX_RANDOMISED_CORRELATION = 0.5
MIN_NOISE_CORRELATION = 0.6
NOISE, NOISY_IMAGES = 0.02, 3
"""Standard deviation of the noise as a share of the image's range; number of noisy images."""
NOT_COMPARABLE = "one of the maps does not order the pixels: they cannot be compared"


def check_seeds(
    attribution: Attribution, method: Method, explained: Explained, inputs: Inputs, target: int
) -> dict[str, Any]:
    """The check `seeds`: compares the map with that of the method's next seed.

    The values are correlated. Their ranks (`ranks`) are only reported: superpixels that hardly matter weigh as much in
    them as those that do, so that two maps with the same few important superpixels would fail.
    """
    seeded: Any = method
    other = replace(seeded, seed=seeded.seed + 1)(explained, inputs, target)
    ranks = rank_correlation(attribution.map, other.map)
    value = None if ranks is None else pearson(attribution.map, other.map)
    rule = f"the correlation with the map of another seed is at least {MIN_SEED_CORRELATION}"
    passed = None if value is None else value >= MIN_SEED_CORRELATION
    return _check(value, passed, rule) | {"ranks": ranks}


def check_randomisation(
    attribution: Attribution, method: Method, randomised: ExplainedNetwork, inputs: Tensor, target: int
) -> dict[str, Any]:
    """The check `randomisation`: compares the map with that of the network with randomised last layers.

    Both maps are of the same layer. Magnitudes are ranked, as in arXiv:1810.03292: randomised layers may invert all
    signs of a map and leave the rest of it unchanged.
    """
    other = _at_same_layer(method, attribution)(randomised, inputs, target)
    value = rank_correlation(np.abs(attribution.map), np.abs(other.map))
    rule = (
        "the rank correlation of the magnitudes with the map of the network whose last third was randomised is below "
        f"{MAX_RANDOMISED_CORRELATION}"
    )
    return _check(value, None if value is None else value < MAX_RANDOMISED_CORRELATION, rule)


def check_stability(
    attribution: Attribution, method: Method, explained: ExplainedNetwork, inputs: Tensor, target: int, *, seed: int
) -> dict[str, Any]:
    """The check `stability`: mean agreement with maps of noisy images whose prediction is that of the image."""
    rule = (
        f"the mean rank correlation under noise of {100 * NOISE:g} % of the image's range is at least "
        f"{MIN_NOISE_CORRELATION}"
    )
    noisy, rerun = _noisy_images(explained, inputs, seed), _at_same_layer(method, attribution)
    maps = [rerun(explained, image[None], target).map for image in noisy]
    correlations = [rank_correlation(attribution.map, other) for other in maps]
    numbers: dict[str, float | None] = {"images": len(noisy), "of": NOISY_IMAGES, "overlap": None}
    if not maps:
        return _check(None, None, rule, "every noisy image changes the prediction") | numbers
    known = [correlation for correlation in correlations if correlation is not None]
    if len(known) < len(correlations):
        return _check(None, None, rule) | numbers
    value = float(np.mean(known))
    numbers["overlap"] = float(np.mean([top_overlap(attribution.map, other, seed) for other in maps]))
    return _check(value, value >= MIN_NOISE_CORRELATION, rule) | numbers


def _check(value: float | None, passed: bool | None, rule: str, why: str = NOT_COMPARABLE) -> dict[str, Any]:
    return {"value": value, "passed": passed, "rule": rule, "says": "" if value is not None else why}


def _at_same_layer(method: Method, attribution: Attribution) -> Method:
    """The method, fixed to the layer that it chose for a map."""
    if attribution.layer is None or not hasattr(method, "layer"):
        return method
    with_layer: Any = method
    fixed: Method = replace(with_layer, layer=attribution.layer)
    return fixed


def _noisy_images(explained: ExplainedNetwork, inputs: Tensor, seed: int) -> Tensor:
    """At most `NOISY_IMAGES` noisy images (N, C, H, W) in the range of the image, with the prediction of the image."""
    import torch

    pixels = explained.pixels(inputs).cpu()
    low, high = float(pixels.min()), float(pixels.max())
    random = np.random.default_rng([seed, 17])
    noise = random.normal(0, NOISE * (high - low), (NOISY_IMAGES, *pixels.shape[1:])).astype(np.float32)
    images = explained.inputs((pixels + torch.from_numpy(noise)).clamp(low, high))
    unchanged = explained.predictions(images) == explained.predictions(inputs)
    return images[torch.from_numpy(unchanged).to(images.device)]
