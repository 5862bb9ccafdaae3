"""The losses: cross-entropy, focal loss, class weights, distillation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from lightcnn.engine.losses import Objective, class_weights, distillation
from lightcnn.recipe import Distillation, Optimisation


def test_plain_losses_equal_those_of_torch():
    logits, labels = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3
    objective = Objective(Optimisation(label_smoothing=0.1))
    assert objective(logits, labels) == functional.cross_entropy(logits, labels, label_smoothing=0.1)
    sigmoid = Objective(Optimisation())(logits[:, :1], labels.clamp(max=1))
    torch.testing.assert_close(
        sigmoid, functional.binary_cross_entropy_with_logits(logits[:, 0], labels.clamp(max=1).float())
    )


def test_the_focal_loss_equals_its_formula_for_one_and_two_logits():
    objective = Objective(Optimisation(loss="focal", focal_gamma=2.0))
    logit = torch.tensor([[0.0], [2.0]])
    chance = torch.tensor([1 - 0.5, 1 / (1 + np.exp(-2.0))])
    expected = (-((1 - chance) ** 2) * chance.log()).mean().float()
    labels = torch.tensor([0, 1])
    torch.testing.assert_close(objective(logit, labels), expected)
    both = torch.cat([torch.zeros_like(logit), logit], dim=1)
    torch.testing.assert_close(objective(both, labels), expected)
    torch.testing.assert_close(objective(both, nn.functional.one_hot(labels, 2).float()), expected)


def test_class_weights_are_one_on_average_and_weight_images():
    labels = torch.tensor([0, 0, 0, 1])
    assert class_weights(Optimisation(), labels, ("a", "b")) is None
    balanced = class_weights(Optimisation(class_weights="balanced"), labels, ("a", "b"))
    assert balanced[labels].mean() == pytest.approx(1)
    assert (balanced[1] / balanced[0]).item() == pytest.approx(3)
    weights = class_weights(Optimisation(class_weights={"b": 2.0, "a": 0.5}), labels, ("a", "b"))
    assert weights.tolist() == [0.5, 2.0]
    logits = torch.zeros(4, 2)
    loss = Objective(Optimisation(class_weights={"a": 1, "b": 2}), weights)(logits, labels)
    assert loss.item() == pytest.approx(np.log(2) * (0.5 * 3 + 2) / 4)


def test_the_distillation_loss_is_zero_for_equal_networks_and_has_hintons_gradient():
    student = torch.tensor([[1.0, -1.0], [0.5, 0.0]], requires_grad=True)
    taught = (student.detach() / 3).softmax(1)
    assert distillation(student, taught, 3.0).item() == pytest.approx(0, abs=1e-6)
    taught = (torch.tensor([[0.0, 2.0], [1.0, 1.0]]) / 4).softmax(1)
    distillation(student, taught, 4.0).backward()
    gap = (student.detach() / 4).softmax(1) - taught
    torch.testing.assert_close(student.grad, 4.0 * gap / 2)
    single, pair = torch.tensor([[1.5]]), torch.tensor([[0.0, 1.5]])
    torch.testing.assert_close(distillation(single, taught[:1], 2.0), distillation(pair, taught[:1], 2.0))


def test_the_teacher_has_its_weight_in_the_loss():
    logits, labels = torch.tensor([[1.0, -1.0], [0.5, 0.0]]), torch.tensor([0, 1])
    taught = torch.tensor([[0.3, 0.7], [0.9, 0.1]])
    objective = Objective(Optimisation(), distill=Distillation(teacher="x", alpha=0.25, temperature=2.0))
    expected = 0.75 * functional.cross_entropy(logits, labels) + 0.25 * distillation(logits, taught, 2.0)
    torch.testing.assert_close(objective(logits, labels, taught), expected)
