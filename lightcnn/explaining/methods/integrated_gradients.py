"""Integrated Gradients: what each pixel contributes to the score on the path from a baseline to the image."""

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
from lightcnn.explaining.methods.catalogue import BaselineImage, methods_that_need
from lightcnn.text import not_one_of

MIN_STEPS = 16
"""With fewer steps the error can be small by luck."""
RANDOM_BASELINES = 5
"""Number of random baselines that the map is averaged over."""
NOISE_SHARE = 0.15
"""Standard deviation of SmoothGrad's noise as a share of the image's range; its paper recommends 10 to 20 %."""
LENGTHS_PER_SIGMA = 8
"""Height or width of an image divided by the standard deviation of the blur that removes its details."""
MIN_SCORE_SHARE = 0.01
"""Differences of the scores below this share of the scores are too small to measure an error by."""

Path = tuple[Tensor, Tensor]
"""The two ends of a path of integration: the image (1, C, H, W), then the baseline (1, C, H, W)."""


@dataclass(frozen=True)
class IntegratedGradients:
    """Integrated Gradients (arXiv:1703.01365), computed by captum with as many steps as the completeness error needs.

    The error is |sum of the map - (score of the image - score of the baseline)| as a share of that difference, or of
    1 % of the larger score if the difference is smaller. The number of steps doubles until the error is at most
    `tolerance` or there are `max_steps`. Gauss-Legendre steps leave out both ends: at a black image a ReLU without a
    bias has no slope. `smooth` (SmoothGrad, arXiv:1706.03825) is a number of noisy images. With these, or with random
    baselines, the map and the difference of the scores are means over several paths.
    """

    baseline: str = "black"
    smooth: int = 0
    tolerance: float = 0.01
    max_steps: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises: InputError."""
        if self.baseline not in list(BaselineImage):
            raise InputError(f"--baseline: {not_one_of(str(self.baseline), BaselineImage)}")
        if self.smooth < 0:
            raise InputError(f"--smooth {self.smooth}: must be a number of noisy images, 0 or more")

    @property
    def name(self) -> str:
        """The method's name, as in `--method`."""
        return "ig"

    def __call__(self, explained: ExplainedNetwork, inputs: Tensor, target: int) -> Attribution:
        """The map for one image (1, C, H, W), summed over the channels. Raises: InputError without a gradient."""
        with torch.inference_mode(False):
            paths = self._paths(explained, inputs.detach().clone())
            scores = _end_scores(explained, paths, target)
            attributions, facts = self._integrate(explained, paths, target, scores)
        facts |= {"baseline": self.baseline, "smooth": self.smooth, "paths": len(paths)}
        facts |= {"score": scores[0], "score_baseline": scores[1]}
        values = attributions.sum(dim=1)[0].float().numpy()
        return Attribution(self.name, values, facts=facts, notes=tuple(_notes(facts)))

    def _integrate(
        self, explained: ExplainedNetwork, paths: Sequence[Path], target: int, scores: tuple[float, float]
    ) -> tuple[Tensor, dict[str, Any]]:
        """Attributions (1, C, H, W) in float64, and the facts of the integration."""
        steps = MIN_STEPS
        total = _attributions(explained, paths, target, steps)
        evaluations, change = steps, None
        while (error := completeness_error(float(total.sum()), *scores)) > self.tolerance:
            if 2 * steps > self.max_steps:
                break
            steps *= 2
            previous, total = total, _attributions(explained, paths, target, steps)
            evaluations += steps
            change = float((total - previous).abs().sum() / total.abs().sum().clamp_min(1e-12))
        return total, {
            "steps": steps,
            "evaluations": evaluations * len(paths),
            "completeness_error": error,
            "tolerance": self.tolerance,
            "reached": error <= self.tolerance,
            "last_change": change,
        }

    def _paths(self, explained: ExplainedNetwork, inputs: Tensor) -> list[Path]:
        """One path, or one per noisy image or random baseline."""
        generator = torch.Generator().manual_seed(self.seed)
        count = max(self.smooth, RANDOM_BASELINES if self.baseline == "random" else 1)
        return [(self._image(inputs, generator), self._baseline(explained, inputs, generator)) for _ in range(count)]

    def _image(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        if not self.smooth:
            return inputs
        noise = torch.randn(inputs.shape, generator=generator).to(inputs.device)
        return inputs + NOISE_SHARE * (inputs.max() - inputs.min()) * noise

    def _baseline(self, explained: ExplainedNetwork, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Black pixels, the training mean, the blurred image, or noise in the range of each channel."""
        match self.baseline:
            case "black":
                return explained.inputs(torch.zeros_like(inputs))
            case "mean":
                return torch.zeros_like(inputs)
            case "blur":
                sigma = max(inputs.shape[2:]) / LENGTHS_PER_SIGMA
                return explained.from_values(blurred(explained.values(inputs), sigma))
        low, high = inputs.amin(dim=(2, 3), keepdim=True), inputs.amax(dim=(2, 3), keepdim=True)
        return low + (high - low) * torch.rand(inputs.shape, generator=generator).to(inputs.device)


def completeness_error(total: float, score: float, score_baseline: float) -> float:
    """The completeness error, as `IntegratedGradients` defines it, of attributions that sum up to `total`."""
    difference = score - score_baseline
    scale = max(abs(difference), MIN_SCORE_SHARE * max(abs(score), abs(score_baseline)), 1e-12)
    return abs(total - difference) / scale


def _attributions(explained: ExplainedNetwork, paths: Sequence[Path], target: int, steps: int) -> Tensor:
    """captum's attributions (1, C, H, W), the mean over the paths, in float64 on the CPU."""
    from captum import attr

    captum = attr.IntegratedGradients(partial(explained.score, target=target))
    total = torch.zeros((), dtype=torch.float64)
    for image, baseline in paths:
        attributions = explained.batch.attempt(partial(_captum, captum, image, baseline, steps))
        total = total + attributions.detach().cpu().double() / len(paths)
    return total


def _captum(captum: Any, image: Tensor, baseline: Tensor, steps: int, size: int) -> Tensor:
    """captum's attributions with `size` steps at once."""
    attributions: Tensor = captum.attribute(image, baseline, n_steps=steps, internal_batch_size=size)
    return attributions


def _end_scores(explained: ExplainedNetwork, paths: Sequence[Path], target: int) -> tuple[float, float]:
    """The mean scores of the images and of the baselines. Raises: InputError if they have no gradient."""
    image = paths[0][0].clone().requires_grad_()
    if not explained.batch.attempt(lambda _: explained.score(image, target), 1).requires_grad:
        raise InputError(
            "explain: Integrated Gradients needs a gradient from the score to the image, and this network gives none; "
            f"use --method {methods_that_need('predictions')}"
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
            f"after {facts['steps']} steps the sum of the map still differs from the difference of the scores by "
            f"{facts['completeness_error']:.1%} (tolerance: {facts['tolerance']:.1%})"
        )
    score, baseline = facts["score"], facts["score_baseline"]
    if abs(score - baseline) < MIN_SCORE_SHARE * max(abs(score), abs(baseline)):
        notes.append(
            "the image and the baseline have nearly the same score: there is little to attribute; try another baseline"
        )
    return notes
