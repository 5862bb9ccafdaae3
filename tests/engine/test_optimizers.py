"""The optimizers, weight decay and averaged weights."""

from __future__ import annotations

import pytest
import torch
from helpers.squares import PREPROCESS, SPEC, squares
from torch import nn

from lightcnn.engine.loop import fit
from lightcnn.engine.optimizers import Average, parameter_groups, state_keys
from lightcnn.engine.state import State
from lightcnn.inference import probabilities
from lightcnn.network import build
from lightcnn.recipe import Augment, Optimisation


def test_weight_decay_excludes_norms_and_biases():
    model = build(SPEC, 0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images, labels = squares(4)
    # With a tiny learning rate and a huge decay, only decayed parameters change.
    settings = Optimisation(epochs=1, batch=4, learning_rate=1e-7, weight_decay=10)
    fit(model, images, labels, preprocess=PREPROCESS, settings=settings, augmentation=Augment(), seed=0)
    kinds = {name: module for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    for name in kinds:
        torch.testing.assert_close(model.state_dict()[f"{name}.weight"], before[f"{name}.weight"], rtol=0, atol=1e-6)

    decayed, excluded = parameter_groups(model, 0.05)
    assert decayed["weight_decay"] == 0.05
    assert excluded["weight_decay"] == 0
    assert all(p.ndim > 1 for p in decayed["params"])
    assert all(p.ndim == 1 for p in excluded["params"])
    assert len(decayed["params"]) + len(excluded["params"]) == len(list(model.parameters()))


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop"])
def test_every_optimizer_learns_and_has_the_listed_state(name):
    images, labels = squares()
    settings = Optimisation(epochs=6, batch=16, optimizer=name, learning_rate=0.05 if name == "sgd" else 0.003)
    model = build(SPEC, 0)
    state = State(model, settings, len(images))
    fit(model, images, labels, preprocess=PREPROCESS, settings=settings, augmentation=Augment(), seed=0, state=state)
    assert (probabilities(model, images, PREPROCESS).argmax(axis=1) == labels.numpy()).mean() > 0.9
    keys = {key.split(".", 2)[2] for key in state.tensors() if key.startswith("optimizer.")}
    assert keys == state_keys(settings)


def test_the_average_includes_weights_and_norm_statistics():
    model = build(SPEC, 0)
    average = Average(model, 0.5)
    with torch.no_grad():
        for value in model.state_dict().values():
            value.add_(1)
    before = {name: value.clone() for name, value in average.model.state_dict().items()}
    average.update(model, 100)
    for name, value in average.model.state_dict().items():
        step = 0.5 if value.is_floating_point() else 1
        torch.testing.assert_close(value, before[name] + torch.tensor(step, dtype=value.dtype))
    assert average.model.training == model.training
    assert not any(p.requires_grad for p in average.model.parameters())
