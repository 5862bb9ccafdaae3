"""The loop: it learns, it repeats, it says when it diverges, it decays only what it should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lightcnn.data.preprocess import Preprocess
from lightcnn.errors import InputError, TrainingError
from lightcnn.network import build
from lightcnn.predict import class_probabilities, probabilities
from lightcnn.recipe import Augment, Optimisation
from lightcnn.spec import ConvBlock, HeadSpec, NetworkSpec, SeparableBlock
from lightcnn.training.loop import fit, order, pick_device

RULE = Preprocess(size=8, channels=1, shorter_side=256, mean=(0.5,), deviation=(0.25,), classes=("dark", "bright"))
SPEC = NetworkSpec(input=(1, 8, 8), stages=(ConvBlock(width=6), SeparableBlock(width=8, stride=2)), classes=2)


def task(count=97):
    random = np.random.default_rng(0)
    labels = np.arange(count) % 2
    images = random.integers(0, 120, (count, 1, 8, 8)) + 100 * labels[:, None, None, None]
    return torch.from_numpy(images.astype(np.uint8)), torch.from_numpy(labels)


def trained(spec=SPEC, seed=0, **changes):
    images, labels = task()
    model = build(spec, seed)
    epochs = []
    settings = Optimisation(**({"epochs": 6, "batch": 16} | changes))
    fit(
        model,
        images,
        labels,
        preprocess=RULE,
        settings=settings,
        augmentation=Augment(),
        seed=seed,
        watch=epochs.append,
    )
    return model, epochs


def test_it_learns():
    images, labels = task()
    model, epochs = trained()
    assert [epoch.number for epoch in epochs] == [1, 2, 3, 4, 5, 6]
    assert epochs[-1].loss < 0.5 * epochs[0].loss
    assert (probabilities(model, images, RULE).argmax(axis=1) == labels.numpy()).mean() > 0.95


def test_a_sigmoid_head_learns_the_second_class():
    spec = NetworkSpec(**(dict(SPEC) | {"head": HeadSpec(output="sigmoid")}))
    images, labels = task()
    model, _ = trained(spec)
    predicted = probabilities(model, images, RULE)
    assert predicted.shape == (97, 2)
    np.testing.assert_allclose(predicted.sum(axis=1), 1)
    assert (predicted.argmax(axis=1) == labels.numpy()).mean() > 0.95


def test_same_seed_same_weights_and_another_seed_others():
    one, again, other = (trained(seed=seed)[0].state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_divergence_is_said():
    with pytest.raises(TrainingError, match=r"the loss became (nan|inf) in epoch \d+; lower training.learning_rate"):
        images, labels = task()
        model = build(SPEC, 0)
        with torch.no_grad():
            model.head.classifier.weight.fill_(float("inf"))
        fit(model, images, labels, preprocess=RULE, settings=Optimisation(epochs=2), augmentation=Augment(), seed=0)


def test_every_image_is_met_once_an_epoch_in_another_order():
    first, second = order(50, 0, 0), order(50, 0, 1)
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(50))
    assert first.tolist() != second.tolist()


def test_a_batch_of_one_image_never_happens():
    images, labels = task(17)
    sizes = []
    model = build(SPEC, 0)
    model.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    fit(
        model,
        images,
        labels,
        preprocess=RULE,
        settings=Optimisation(epochs=1, batch=16),
        augmentation=Augment(),
        seed=0,
    )
    assert sorted(sizes) == [8, 9]


def test_weight_decay_spares_norms_and_biases():
    model = build(SPEC, 0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images, labels = task(4)
    # With a vanishing learning rate times a huge decay, only what decays moves.
    settings = Optimisation(epochs=1, batch=4, learning_rate=1e-7, weight_decay=10)
    fit(model, images, labels, preprocess=RULE, settings=settings, augmentation=Augment(), seed=0)
    kinds = {name: module for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    for name in kinds:
        torch.testing.assert_close(model.state_dict()[f"{name}.weight"], before[f"{name}.weight"], rtol=0, atol=1e-6)
    from lightcnn.training.optimizers import parameter_groups

    decayed, spared = parameter_groups(model, 0.05)
    assert decayed["weight_decay"] == 0.05
    assert spared["weight_decay"] == 0
    assert all(p.ndim > 1 for p in decayed["params"])
    assert all(p.ndim == 1 for p in spared["params"])
    assert len(decayed["params"]) + len(spared["params"]) == len(list(model.parameters()))


def test_prediction_leaves_the_mode_and_sums_to_one():
    images, _ = task()
    model = build(SPEC, 0).train()
    predicted = probabilities(model, images, RULE, batch=10)
    assert model.training
    np.testing.assert_allclose(predicted.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(predicted, probabilities(model, images, RULE, batch=97), rtol=1e-5)
    one = class_probabilities(torch.tensor([[0.0], [2.0]]))
    np.testing.assert_allclose(one[:, 1], [0.5, 1 / (1 + np.exp(-2))])


def test_a_device_that_is_not_there_is_refused():
    assert pick_device("cpu").type == "cpu"
    missing = [
        name
        for name, there in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available()))
        if not there
    ]
    for name in missing:
        with pytest.raises(InputError, match=f"--device {name}: not on this machine; use --device auto"):
            pick_device(name)
