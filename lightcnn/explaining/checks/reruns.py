"""A method run again under a change that should matter, or should not: the maps are compared by their ranks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightcnn.explaining.checks.ranks import agreement, overlap, pearson
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.methods.attribution import Attribution, Method

SEEDS, SAME, STABLE = 0.7, 0.5, 0.6
"""Correlations: at least, between two seeds; of ranks, under it, with the redrawn network; of ranks, at least, under
noise."""
NOISE, DRAWS = 0.02, 3
"""Standard deviation of the noise, of the image's range; how many images of it are drawn."""
NO_ORDER = "one of the maps is without an order: they cannot be compared"


def seeds(
    attribution: Attribution, method: Method, explained: ExplainedNetwork, inputs: Tensor, target: int
) -> dict[str, Any]:
    """The check `seeds`: the map beside that of the method's next seed. A chance result is not an explanation.

    Weights are correlated as they are. Their ranks (`ranks`) stand beside: of these, superpixels that hardly matter
    have as many as those that do, and two maps that show the same few would fail.
    """
    again: Any = method
    other = replace(again, seed=again.seed + 1)(explained, inputs, target)
    ranks = agreement(attribution.map, other.map)
    value = None if ranks is None else pearson(attribution.map, other.map)
    rule = f"correlation with the map of another seed at least {SEEDS}"
    return _check(value, None if value is None else value >= SEEDS, rule) | {"ranks": ranks}


def randomisation(
    attribution: Attribution, method: Method, forgetful: ExplainedNetwork, inputs: Tensor, target: int
) -> dict[str, Any]:
    """The check `randomisation`: the map beside that of the network whose top was redrawn, at the same layer.

    Magnitudes are ranked, as in arXiv:1810.03292: a top drawn anew may turn all signs round and leave the picture.
    """
    other = _at_layer(method, attribution)(forgetful, inputs, target)
    value = agreement(np.abs(attribution.map), np.abs(other.map))
    rule = f"rank correlation of the magnitudes with the map of the network whose top third was redrawn under {SAME}"
    return _check(value, None if value is None else value < SAME, rule)


def stability(
    attribution: Attribution, method: Method, explained: ExplainedNetwork, inputs: Tensor, target: int, *, seed: int
) -> dict[str, Any]:
    """The check `stability`: mean agreement with maps of the image under noise that leaves the prediction as it is."""
    rule = f"mean rank correlation under noise of {100 * NOISE:g} % of the image's range at least {STABLE}"
    noisy, again = _unmoved(explained, inputs, seed), _at_layer(method, attribution)
    maps = [again(explained, image[None], target).map for image in noisy]
    values = [agreement(attribution.map, found) for found in maps]
    numbers: dict[str, float | None] = {"images": len(noisy), "of": DRAWS, "overlap": None}
    if not maps:
        return _check(None, None, rule, "every draw of the noise changes the prediction") | numbers
    found = [value for value in values if value is not None]
    if len(found) < len(values):
        return _check(None, None, rule) | numbers
    value = float(np.mean(found))
    numbers["overlap"] = float(np.mean([overlap(attribution.map, other, seed) for other in maps]))
    return _check(value, value >= STABLE, rule) | numbers


def _check(value: float | None, passed: bool | None, rule: str, why: str = NO_ORDER) -> dict[str, Any]:
    return {"value": value, "passed": passed, "rule": rule, "says": "" if value is not None else why}


def _at_layer(method: Method, attribution: Attribution) -> Method:
    """The method, held to the layer that it chose."""
    if attribution.layer is None or not hasattr(method, "layer"):
        return method
    held: Any = method
    pinned: Method = replace(held, layer=attribution.layer)
    return pinned


def _unmoved(explained: ExplainedNetwork, inputs: Tensor, seed: int) -> Tensor:
    """Images (N, C, H, W), at most `DRAWS`: the image under noise, in its own range, where the prediction stays."""
    pixels = explained.pixels(inputs).cpu()
    low, high = float(pixels.min()), float(pixels.max())
    random = np.random.default_rng([seed, 17])
    noise = random.normal(0, NOISE * (high - low), (DRAWS, *pixels.shape[1:])).astype(np.float32)
    images = explained.inputs((pixels + torch.from_numpy(noise)).clamp(low, high))
    same = explained.predictions(images) == explained.predictions(inputs)
    return images[torch.from_numpy(same).to(images.device)]
