"""The lessons of a teacher: probabilities at a temperature, mixed like the images of a batch."""

from __future__ import annotations

import numpy as np
import torch
from helpers.squares import PREPROCESS, squares
from torch.nn import functional

from lightcnn.data.augmentation.batch import training_batch
from lightcnn.engine.distillation import Lessons
from lightcnn.recipe import Augment, Distillation


def test_targets_are_the_teachers_logits_over_the_temperature() -> None:
    logits = torch.tensor([[4.0, 0.0, -2.0], [0.0, 200.0, 0.0]])
    lessons = Lessons(Distillation(teacher="x", temperature=4.0), logits.double().softmax(dim=1).float())
    torch.testing.assert_close(lessons.targets[0], (logits[0] / 4).softmax(dim=0))
    assert torch.isfinite(lessons.targets).all(), "a probability of zero has no logarithm"


def test_batches_are_mixed_with_the_shares_of_the_images() -> None:
    """Lessons that equal the labels are mixed to the targets of the batch."""
    images, labels = squares(8)
    table = functional.one_hot(labels, 2).float()
    lessons, size = Lessons(Distillation(teacher="x", temperature=1.0), table), tuple(images.shape[2:])
    indices = np.array([3, 0, 5])
    for settings in (Augment(), Augment(mixup=0.4, cutmix=1.0)):
        _, targets = training_batch(images, labels, indices, settings=settings, seed=1, epoch=2, preprocess=PREPROCESS)
        taught = lessons.batch(indices, settings, seed=1, epoch=2, size=size)
        expected = functional.one_hot(targets, 2).float() if targets.ndim == 1 else targets
        torch.testing.assert_close(taught, expected, rtol=1e-5, atol=1e-6)
    assert targets.ndim == 2 and bool(((targets > 0.01) & (targets < 0.99)).any())
