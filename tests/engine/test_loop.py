"""The training loop: it learns, repeats, and reports divergence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.squares import PREPROCESS, SPEC, squares

from lightcnn.devices import pick_device
from lightcnn.engine.loop import fit, order
from lightcnn.engine.saved_state import load_state, save_state
from lightcnn.engine.state import State
from lightcnn.errors import InputError, RunError, TrainingError
from lightcnn.inference import class_probabilities, probabilities
from lightcnn.network import build
from lightcnn.recipe import Augment, Optimisation
from lightcnn.run_folder import RunFolder
from lightcnn.spec import ConvBlock, HeadSpec, NetworkSpec


def trained(spec=SPEC, seed=0, **changes):
    images, labels = squares()
    model = build(spec, seed)
    epochs = []
    settings = Optimisation(**({"epochs": 6, "batch": 16} | changes))
    fit(
        model,
        images,
        labels,
        preprocess=PREPROCESS,
        settings=settings,
        augmentation=Augment(),
        seed=seed,
        on_epoch=epochs.append,
    )
    return model, epochs


def test_a_network_learns():
    images, labels = squares()
    model, epochs = trained()
    assert [epoch.number for epoch in epochs] == [1, 2, 3, 4, 5, 6]
    assert epochs[-1].loss < 0.5 * epochs[0].loss
    assert (probabilities(model, images, PREPROCESS).argmax(axis=1) == labels.numpy()).mean() > 0.95


def test_a_sigmoid_head_learns_the_second_class():
    spec = NetworkSpec(**(dict(SPEC) | {"head": HeadSpec(output="sigmoid")}))
    images, labels = squares()
    model, _ = trained(spec)
    predicted = probabilities(model, images, PREPROCESS)
    assert predicted.shape == (97, 2)
    np.testing.assert_allclose(predicted.sum(axis=1), 1)
    assert (predicted.argmax(axis=1) == labels.numpy()).mean() > 0.95


def test_the_seed_decides_the_weights():
    first, repeated, other = (trained(seed=seed)[0].state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], repeated[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_divergence_is_an_error():
    with pytest.raises(TrainingError, match=r"the loss became (nan|inf) in epoch \d+; lower training.learning_rate"):
        images, labels = squares()
        model = build(SPEC, 0)
        with torch.no_grad():
            model.head.classifier.weight.fill_(float("inf"))
        fit(
            model,
            images,
            labels,
            preprocess=PREPROCESS,
            settings=Optimisation(epochs=2),
            augmentation=Augment(),
            seed=0,
        )


def test_every_epoch_has_all_images_once_in_another_order():
    first, second = order(50, 0, 0), order(50, 0, 1)
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(50))
    assert first.tolist() != second.tolist()


def test_no_batch_has_a_single_image():
    images, labels = squares(17)
    sizes = []
    model = build(SPEC, 0)
    model.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    fit(
        model,
        images,
        labels,
        preprocess=PREPROCESS,
        settings=Optimisation(epochs=1, batch=16),
        augmentation=Augment(),
        seed=0,
    )
    assert sorted(sizes) == [8, 9]


def test_prediction_keeps_the_mode_and_its_probabilities_sum_to_one():
    images, _ = squares()
    model = build(SPEC, 0).train()
    predicted = probabilities(model, images, PREPROCESS, batch=10)
    assert model.training
    np.testing.assert_allclose(predicted.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(predicted, probabilities(model, images, PREPROCESS, batch=97), rtol=1e-5)
    sigmoid = class_probabilities(torch.tensor([[0.0], [2.0]]))
    np.testing.assert_allclose(sigmoid[:, 1], [0.5, 1 / (1 + np.exp(-2))])


def test_a_missing_device_is_an_error():
    assert pick_device("cpu").type == "cpu"
    missing = [
        name
        for name, available in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available()))
        if not available
    ]
    for name in missing:
        with pytest.raises(InputError, match=f"--device {name}: not on this machine; use --device auto"):
            pick_device(name)


def test_accumulated_batches_give_the_step_of_one_large_batch():
    images, labels = squares(32)
    spec = NetworkSpec(input=(1, 8, 8), stages=(ConvBlock(width=4, norm=False),), classes=2)
    models = []
    for batch, accumulate in ((32, 1), (8, 4)):
        model = build(spec, 0)
        settings = Optimisation(epochs=1, batch=batch, accumulate=accumulate, optimizer="sgd", momentum=0.0)
        fit(model, images, labels, preprocess=PREPROCESS, settings=settings, augmentation=Augment(), seed=0)
        models.append(model.state_dict())
    for name, value in models[0].items():
        torch.testing.assert_close(models[1][name], value, rtol=1e-5, atol=1e-6)


DROPOUT = NetworkSpec(input=(1, 8, 8), stages=(ConvBlock(width=6),), classes=2, head=HeadSpec(hidden=(8,), dropout=0.5))
PAUSED = Optimisation(epochs=3, batch=16, accumulate=2, ema=0.9)
"""97 images make 7 batches and 4 steps an epoch."""


def train_in_parts(pauses, folder=None):
    """Trains to each of the steps in `pauses`, then to the end; with a folder, the state goes through a file."""
    images, labels = squares()
    model, epochs = build(DROPOUT, 0), []
    state = State(model, PAUSED, len(images))
    for until in (*pauses, None):
        fit(
            model, images, labels, preprocess=PREPROCESS, settings=PAUSED, augmentation=Augment(mixup=0.5), seed=1,
            state=state, until=until, on_epoch=lambda epoch: epochs.append((epoch.number, epoch.loss)),
        )  # fmt: skip
        if until is not None:
            assert state.step == until
        if folder is not None:
            save_state(folder, "state.safetensors", state)
            model = build(DROPOUT, 5)
            state = State(model, PAUSED, len(images))
            load_state(folder, "state.safetensors", state)
    return state.tensors(), epochs


@pytest.mark.parametrize("pauses", [(1,), (3, 4, 5), (4,), (7, 11), (12,)])
def test_a_training_that_pauses_after_any_step_ends_with_the_same_bits(pauses, tmp_path):
    folder = RunFolder.create(tmp_path / "run", "train", {})
    whole, whole_epochs = train_in_parts(())
    for parts, epochs in (train_in_parts(pauses), train_in_parts(pauses, folder)):
        assert parts.keys() == whole.keys()
        assert all(torch.equal(parts[name], whole[name]) for name in whole)
        assert epochs == whole_epochs
        assert [number for number, _ in epochs] == [1, 2, 3]


def test_a_training_pauses_after_the_step_after_which_it_is_asked_to():
    images, labels = squares()
    model = build(DROPOUT, 0)
    state, asked = State(model, PAUSED, len(images)), iter(range(1, 100))
    while state.step < state.steps:
        before = state.step
        fit(
            model, images, labels, preprocess=PREPROCESS, settings=PAUSED, augmentation=Augment(mixup=0.5), seed=1,
            state=state, paused=lambda: next(asked) % 5 == 0,
        )  # fmt: skip
        assert state.step in (before + 5, state.steps)
    whole, _ = train_in_parts(())
    assert all(torch.equal(value, whole[name]) for name, value in state.tensors().items())


def test_a_training_of_some_steps_ends_within_an_epoch():
    settings = PAUSED.model_copy(update={"steps": 6})
    images, labels = squares()
    model, epochs = build(SPEC, 0), []
    state = State(model, settings, len(images))
    fit(
        model, images, labels, preprocess=PREPROCESS, settings=settings, augmentation=Augment(), seed=0, state=state,
        on_epoch=epochs.append,
    )  # fmt: skip
    assert (state.steps, state.step, state.epoch) == (6, 6, 2)
    assert [epoch.number for epoch in epochs] == [1, 2]


def test_torch_draws_the_same_numbers_after_a_training():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    train_in_parts(())
    assert torch.equal(torch.rand(2), expected)


def test_a_state_of_another_training_or_a_damaged_file_is_an_error(tmp_path):
    folder = RunFolder.create(tmp_path / "run", "train", {})
    images, _ = squares()
    save_state(folder, "state.safetensors", State(build(DROPOUT, 0), PAUSED, len(images)))
    with pytest.raises(RunError, match=r"state.safetensors: .* is (missing|not part of this network)"):
        load_state(folder, "state.safetensors", State(build(SPEC, 0), PAUSED, len(images)))
    content = (folder / "state.safetensors").read_bytes()
    for damaged in (content[:-9], b"", b'{"step": 1}', content.replace(b'step\\":0', b'step\\":9')):
        assert damaged != content
        folder.write_bytes("state.safetensors", damaged)
        with pytest.raises(RunError, match=r"state\.safetensors: "):
            load_state(folder, "state.safetensors", State(build(DROPOUT, 0), PAUSED, len(images)))
