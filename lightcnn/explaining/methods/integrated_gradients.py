"""Integrated Gradients: what each pixel adds to the score on the way from a baseline to the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lightcnn.errors import InputError
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.methods.attribution import Attribution
from lightcnn.explaining.methods.blur import blurred
from lightcnn.text import nearest

BASELINES = ("black", "mean", "blur", "random")
FEWEST = 16
"""Steps at least: with fewer the error can be small by luck."""
RANDOM = 5
"""Random baselines that are averaged."""
SIGMA = 0.15
"""Of SmoothGrad's noise, as a share of the image's range: within the 10 to 20 % of its paper."""
BLUR = 8
"""The side of an image over the deviation of the blur that takes its details away."""
FLOOR = 0.01
"""Share of the scores themselves, from which on their difference is large enough for an error to be a share of it."""

Path = tuple[Tensor, Tensor]
"""From a baseline (1, C, H, W) to an image (1, C, H, W): the image, then the baseline."""


@dataclass(frozen=True)
class IntegratedGradients:
    """Integrated Gradients (arXiv:1703.01365) over captum's, with as many steps as the completeness error asks for.

    That error is |sum of the map - (score of the image - score of the baseline)| as a share of that difference, or of
    1 % of the larger score where the difference is smaller. Steps double until it is at most `tolerance` or there are
    `most`. They are Gauss-Legendre's, which leave out both ends: at a black image a ReLU without a bias has no slope.
    `smooth` (SmoothGrad, arXiv:1706.03825) is a number of noisy images, and random baselines are several: the map is
    then the mean over their paths, and so is the difference of the scores.
    """

    baseline: str = "black"
    smooth: int = 0
    tolerance: float = 0.01
    most: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        if self.baseline not in BASELINES:
            raise InputError(
                f"--baseline {self.baseline}: there is no such baseline{nearest(self.baseline, BASELINES)}; "
                f"known: {', '.join(BASELINES)}"
            )
        if self.smooth < 0:
            raise InputError(f"--smooth {self.smooth}: a number of noisy images from 0 on")

    @property
    def name(self) -> str:
        """As in `--method`."""
        return "ig"

    def __call__(self, explained: ExplainedNetwork, inputs: Tensor, target: int) -> Attribution:
        """The sum over the channels. Raises: InputError where the network gives no gradient."""
        with torch.inference_mode(False):
            paths = self._paths(explained, inputs.detach().clone())
            ends = _ends(explained, paths, target)
            found, facts = self._integrated(explained, paths, target, ends)
        facts |= {"baseline": self.baseline, "smooth": self.smooth, "paths": len(paths)}
        facts |= {"score": ends[0], "score_baseline": ends[1]}
        return Attribution(self.name, found.sum(dim=1)[0].float().numpy(), facts=facts, notes=tuple(_notes(facts)))

    def _integrated(
        self, explained: ExplainedNetwork, paths: Sequence[Path], target: int, ends: tuple[float, float]
    ) -> tuple[Tensor, dict[str, Any]]:
        """Attributions (1, C, H, W) in float64, and what is known of them."""
        steps = FEWEST
        found = _attributions(explained, paths, target, steps)
        evaluations, change = steps, None
        while (error := completeness_error(float(found.sum()), *ends)) > self.tolerance and 2 * steps <= self.most:
            steps *= 2
            before, found = found, _attributions(explained, paths, target, steps)
            evaluations += steps
            change = float((found - before).abs().sum() / found.abs().sum().clamp_min(1e-12))
        return found, {
            "steps": steps,
            "evaluations": evaluations * len(paths),
            "completeness_error": error,
            "tolerance": self.tolerance,
            "reached": error <= self.tolerance,
            "last_change": change,
        }

    def _paths(self, explained: ExplainedNetwork, inputs: Tensor) -> list[Path]:
        """One, or as many as there are noisy images or random baselines."""
        generator = torch.Generator().manual_seed(self.seed)
        count = max(self.smooth, RANDOM if self.baseline == "random" else 1)
        return [(self._image(inputs, generator), self._baseline(explained, inputs, generator)) for _ in range(count)]

    def _image(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        if not self.smooth:
            return inputs
        noise = torch.randn(inputs.shape, generator=generator).to(inputs.device)
        return inputs + SIGMA * (inputs.max() - inputs.min()) * noise

    def _baseline(self, explained: ExplainedNetwork, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Black pixels, the mean of the training side, the image blurred, or noise in the range of each channel."""
        match self.baseline:
            case "black":
                return explained.inputs(torch.zeros_like(inputs))
            case "mean":
                return torch.zeros_like(inputs)
            case "blur":
                return blurred(inputs, max(inputs.shape[2:]) / BLUR)
        low, high = inputs.amin(dim=(2, 3), keepdim=True), inputs.amax(dim=(2, 3), keepdim=True)
        return low + (high - low) * torch.rand(inputs.shape, generator=generator).to(inputs.device)


def completeness_error(total: float, score: float, score_baseline: float) -> float:
    """Of attributions that sum up to `total`, as `IntegratedGradients` says."""
    difference = score - score_baseline
    scale = max(abs(difference), FLOOR * max(abs(score), abs(score_baseline)), 1e-12)
    return abs(total - difference) / scale


def _attributions(explained: ExplainedNetwork, paths: Sequence[Path], target: int, steps: int) -> Tensor:
    """(1, C, H, W) by captum, the mean over the paths, in float64 on the CPU."""
    from captum import attr

    captum = attr.IntegratedGradients(partial(explained.score, target=target))
    total = torch.zeros((), dtype=torch.float64)
    for image, baseline in paths:
        found = explained.batch.attempt(partial(_captum, captum, image, baseline, steps))
        total = total + found.detach().cpu().double() / len(paths)
    return total


def _captum(captum: Any, image: Tensor, baseline: Tensor, steps: int, size: int) -> Tensor:
    """`size` of the steps at once."""
    found: Tensor = captum.attribute(image, baseline, n_steps=steps, internal_batch_size=size)
    return found


def _ends(explained: ExplainedNetwork, paths: Sequence[Path], target: int) -> tuple[float, float]:
    """The mean scores of the images and of the baselines. Raises: InputError where they have no gradient."""
    image = paths[0][0].clone().requires_grad_()
    if not explained.batch.attempt(lambda _: explained.score(image, target), 1).requires_grad:
        raise InputError(
            "explain: Integrated Gradients needs a gradient from the score to the image, and this network gives none; "
            "use --method lime or occlusion"
        )
    images, baselines = (torch.cat(end) for end in zip(*paths, strict=True))
    return _mean_score(explained, images, target), _mean_score(explained, baselines, target)


def _mean_score(explained: ExplainedNetwork, images: Tensor, target: int) -> float:
    with torch.no_grad():
        scores = explained.batch.map(len(images), lambda start, end: explained.score(images[start:end], target))
    return float(scores.double().mean())


def _notes(facts: dict[str, Any]) -> list[str]:
    notes = []
    if not facts["reached"]:
        notes.append(
            f"after {facts['steps']} steps the map still misses the difference of the scores by "
            f"{facts['completeness_error']:.1%} (wanted: {facts['tolerance']:.1%})"
        )
    score, baseline = facts["score"], facts["score_baseline"]
    if abs(score - baseline) < FLOOR * max(abs(score), abs(baseline)):
        notes.append(
            "image and baseline have nearly the same score: there is little to attribute; try another baseline"
        )
    return notes
