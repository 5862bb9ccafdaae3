"""The training loss: cross-entropy or focal loss, class weights, and distillation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from lightcnn.recipe import Distillation, Optimisation


class Objective:
    """The mean loss of a batch: logits (N, classes) or (N, 1), targets as of `training_batch`, and the teacher's.

    `taught` (N, classes) are the teacher's class probabilities at the temperature of the distillation.
    """

    def __init__(
        self, settings: Optimisation, weights: Tensor | None = None, distill: Distillation | None = None
    ) -> None:
        """`weights` (classes,): the weight of an image of each class."""
        self._settings = settings
        self._weights = weights
        self._distill = distill

    def __call__(self, logits: Tensor, targets: Tensor, taught: Tensor | None = None) -> Tensor:
        loss = self._labelled(logits, targets)
        if self._distill is None or taught is None:
            return loss
        soft = distillation(logits, taught, self._distill.temperature)
        return (1 - self._distill.alpha) * loss + self._distill.alpha * soft

    def _labelled(self, logits: Tensor, targets: Tensor) -> Tensor:
        plain = self._settings.loss == "cross-entropy" and self._weights is None
        loss = cross_entropy(logits, targets, self._settings.label_smoothing, "mean" if plain else "none")
        if plain:
            return loss
        shares = probabilities_of(targets, max(2, logits.shape[1]))
        if self._settings.loss == "focal":
            expected = (two_sided(logits).softmax(dim=1) * shares).sum(dim=1)
            loss = loss * (1 - expected).clamp_min(0) ** self._settings.focal_gamma
        if self._weights is not None:
            loss = loss * (shares @ self._weights)
        return loss.mean()


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float, reduction: str) -> Tensor:
    """Cross-entropy of logits (N, classes); binary cross-entropy of logits (N, 1), those of the second class."""
    if logits.shape[1] > 1:
        return functional.cross_entropy(logits, targets, label_smoothing=smoothing, reduction=reduction)
    positive = targets[:, 1] if targets.ndim == 2 else targets.float()
    target = positive * (1 - smoothing) + smoothing / 2
    return functional.binary_cross_entropy_with_logits(logits[:, 0].float(), target, reduction=reduction)


def distillation(student: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """T² KL(teacher ‖ student) (arXiv:1503.02531).

    `student` are logits (N, classes) or (N, 1), `taught` the teacher's probabilities (N, classes) at temperature T.
    """
    predicted = (two_sided(student) / temperature).log_softmax(dim=1)
    return functional.kl_div(predicted, taught, reduction="batchmean") * temperature**2


def two_sided(logits: Tensor) -> Tensor:
    """float32 logits (N, classes); logits (N, 1) get a zero for the first class as their first column."""
    wide = logits.float()
    return torch.cat([torch.zeros_like(wide), wide], dim=1) if wide.shape[1] == 1 else wide


def probabilities_of(targets: Tensor, classes: int) -> Tensor:
    """Targets as probabilities (N, classes)."""
    return targets if targets.ndim == 2 else functional.one_hot(targets, classes).float()


def class_weights(settings: Optimisation, labels: Tensor, classes: Sequence[str]) -> Tensor | None:
    """The weight of an image of each class, (classes,); None if all weights are equal."""
    weights = settings.class_weights
    if weights == "none":
        return None
    if isinstance(weights, dict):
        return torch.tensor([weights[name] for name in classes], dtype=torch.float32, device=labels.device)
    counts = torch.bincount(labels, minlength=len(classes)).float()
    return len(labels) / (len(classes) * counts.clamp_min(1))
