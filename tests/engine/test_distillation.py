"""Teachers of other sizes, channels and statistics."""

from __future__ import annotations

import torch
from helpers.squares import PREPROCESS, SPEC, squares

from lightcnn.data.tensors import normalise
from lightcnn.engine.distillation import Teacher
from lightcnn.network import build
from lightcnn.recipe import Distillation


def test_a_teacher_gives_the_same_logits_for_any_size_channels_and_statistics_of_the_student():
    images, _ = squares(6)
    model = build(SPEC, 0).eval()
    other = PREPROCESS.model_copy(update={"mean": (0.2,), "deviation": (0.7,)})
    teacher = Teacher(model, PREPROCESS, other, Distillation(teacher="x"))
    torch.testing.assert_close(
        teacher(normalise(images, other)), model(normalise(images, PREPROCESS)), rtol=1e-3, atol=1e-4
    )
    larger = Teacher(model, PREPROCESS, other.model_copy(update={"size": 16}), Distillation(teacher="x"))
    assert larger(torch.zeros(2, 1, 16, 16)).shape == (2, 2)
    coloured = Teacher(model, PREPROCESS, other.model_copy(update={"mean": (0.2,) * 3, "deviation": (0.7,) * 3}),
                       Distillation(teacher="x"))  # fmt: skip
    assert coloured(torch.zeros(2, 3, 8, 8)).shape == (2, 2)
