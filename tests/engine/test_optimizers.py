"""The optimizers, weight decay and averaged weights."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from helpers.paths import ROOT
from helpers.squares import PREPROCESS, SPEC, squares
from torch import nn

from lightcnn.engine.loop import fit
from lightcnn.engine.optimizers import Average, make_optimizer, parameter_groups, state_keys
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


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("adam", torch.optim.Adam),
        ("adamw", torch.optim.AdamW),
        ("sgd", torch.optim.SGD),
        ("rmsprop", torch.optim.RMSprop),
    ],
)
def test_an_optimizer_takes_the_steps_of_torch_also_after_its_state_was_loaded(name, kind):
    settings = Optimisation(epochs=1, optimizer=name, learning_rate=0.01, weight_decay=0.1)
    options = {"momentum": settings.momentum} if name in ("sgd", "rmsprop") else {}
    options |= {"nesterov": True} if name == "sgd" else {}
    models = [build(SPEC, 0), build(SPEC, 0)]
    pairs = [
        (models[0], make_optimizer(models[0], settings)),
        (models[1], kind(parameter_groups(models[1], 0.1), lr=0.01, **options)),
    ]
    for step in range(4):
        for model, optimizer in pairs:
            assert isinstance(optimizer, kind)
            if step == 2:
                optimizer.load_state_dict(optimizer.state_dict())
            model(torch.ones(4, *SPEC.input)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    first, second, start = (list(model.parameters()) for model in (*models, build(SPEC, 0)))
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))
    assert not torch.equal(first[0], start[0])


TRAINS = """
import sys
import torch
from helpers.squares import PREPROCESS, SPEC, squares
from lightcnn.engine.loop import fit
from lightcnn.engine.state import State
from lightcnn.network import build
from lightcnn.recipe import Augment, Optimisation

images, labels = squares(8)
for name in ("adam", "adamw", "sgd", "rmsprop"):
    model, settings = build(SPEC, 0), Optimisation(epochs=1, batch=4, optimizer=name, ema=0.9)
    state = State(model, settings, len(images))
    fit(model, images, labels, preprocess=PREPROCESS, settings=settings, augmentation=Augment(), seed=0, state=state)
    State(build(SPEC, 0), settings, len(images)).restore(state.tensors(), epoch=1, step=2, plateaus=0)
assert "torch._dynamo" not in sys.modules
"""


def test_a_training_does_not_load_the_compiler_of_torch():
    """It would nearly double the time in which a worker of a search starts."""
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", TRAINS], check=True, env=environment, timeout=120)


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
