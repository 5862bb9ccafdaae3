"""The loop: it learns, it repeats, it says when it diverges, it decays only what it should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lightcnn.data.preprocess import Preprocess
from lightcnn.devices import pick_device
from lightcnn.engine.loop import fit, order
from lightcnn.errors import InputError, TrainingError
from lightcnn.inference import class_probabilities, probabilities
from lightcnn.network import build
from lightcnn.recipe import Augment, Optimisation
from lightcnn.spec import ConvBlock, HeadSpec, NetworkSpec, SeparableBlock

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
        on_epoch=epochs.append,
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
    from lightcnn.engine.optimizers import parameter_groups

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


def test_plain_losses_are_torchs_own():
    from torch.nn import functional

    from lightcnn.engine.losses import Objective

    logits, labels = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3
    objective = Objective(Optimisation(label_smoothing=0.1))
    assert objective(logits, labels, logits) == functional.cross_entropy(logits, labels, label_smoothing=0.1)
    one = Objective(Optimisation())(logits[:, :1], labels.clamp(max=1), logits)
    torch.testing.assert_close(
        one, functional.binary_cross_entropy_with_logits(logits[:, 0], labels.clamp(max=1).float())
    )


def test_the_focal_loss_by_hand_for_one_logit_and_two():
    from lightcnn.engine.losses import Objective

    objective = Objective(Optimisation(loss="focal", focal_gamma=2.0))
    logit = torch.tensor([[0.0], [2.0]])
    chance = torch.tensor([1 - 0.5, 1 / (1 + np.exp(-2.0))])
    expected = (-((1 - chance) ** 2) * chance.log()).mean().float()
    labels = torch.tensor([0, 1])
    torch.testing.assert_close(objective(logit, labels, logit), expected)
    both = torch.cat([torch.zeros_like(logit), logit], dim=1)
    torch.testing.assert_close(objective(both, labels, logit), expected)
    torch.testing.assert_close(objective(both, nn.functional.one_hot(labels, 2).float(), logit), expected)


def test_class_weights_are_one_on_average_and_weigh_images():
    from lightcnn.engine.losses import Objective, class_weights

    labels = torch.tensor([0, 0, 0, 1])
    assert class_weights(Optimisation(), labels, ("a", "b")) is None
    balanced = class_weights(Optimisation(class_weights="balanced"), labels, ("a", "b"))
    assert balanced[labels].mean() == pytest.approx(1)
    assert (balanced[1] / balanced[0]).item() == pytest.approx(3)
    given = class_weights(Optimisation(class_weights={"b": 2.0, "a": 0.5}), labels, ("a", "b"))
    assert given.tolist() == [0.5, 2.0]
    logits = torch.zeros(4, 2)
    loss = Objective(Optimisation(class_weights={"a": 1, "b": 2}), given)(logits, labels, logits)
    assert loss.item() == pytest.approx(np.log(2) * (0.5 * 3 + 2) / 4)


def test_distillation_vanishes_for_equal_networks_and_has_hintons_gradient():
    from lightcnn.engine.losses import distillation

    student = torch.tensor([[1.0, -1.0], [0.5, 0.0]], requires_grad=True)
    assert distillation(student, student.detach(), 3.0).item() == pytest.approx(0, abs=1e-6)
    teacher = torch.tensor([[0.0, 2.0], [1.0, 1.0]])
    distillation(student, teacher, 4.0).backward()
    gap = (student.detach() / 4).softmax(1) - (teacher / 4).softmax(1)
    torch.testing.assert_close(student.grad, 4.0 * gap / 2)
    one, two = torch.tensor([[1.5]]), torch.tensor([[0.0, 1.5]])
    torch.testing.assert_close(distillation(one, teacher[:1], 2.0), distillation(two, teacher[:1], 2.0))


def test_schedules_at_their_ends():
    from lightcnn.engine.schedules import Schedule, one_cycle

    def shares(**changes):
        schedule = Schedule(Optimisation(epochs=10, **changes), 10)
        return [schedule.share(step) for step in range(100)]

    assert shares() == [one_cycle(100, 0.2)(step) for step in range(100)]
    assert set(shares(schedule="constant", warmup=0.0)) == {1.0}
    warmed = shares(schedule="cosine", warmup=0.1)
    assert warmed[:11] == pytest.approx([(step + 1) / 11 for step in range(11)])
    assert max(warmed) == warmed[10] == 1
    assert 0 < warmed[99] < 0.01
    stepped = shares(schedule="step", warmup=0.0, decay_epochs=4, decay_factor=0.5)
    assert [stepped[step] for step in (0, 39, 40, 79, 80, 99)] == [1, 1, 0.5, 0.5, 0.25, 0.25]
    plateau = Schedule(Optimisation(epochs=10, schedule="plateau", warmup=0.0, decay_epochs=2), 10)
    for since in (0, 1, 2, 3, 4, 0):
        plateau.observe(since)
    assert plateau.share(50) == pytest.approx(0.01)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop"])
def test_every_optimizer_learns_and_remembers_what_it_says(name):
    from lightcnn.engine.optimizers import state_keys
    from lightcnn.engine.state import State

    images, labels = task()
    settings = Optimisation(epochs=6, batch=16, optimizer=name, learning_rate=0.05 if name == "sgd" else 0.003)
    model = build(SPEC, 0)
    state = State(model, settings, len(images))
    fit(model, images, labels, preprocess=RULE, settings=settings, augmentation=Augment(), seed=0, state=state)
    assert (probabilities(model, images, RULE).argmax(axis=1) == labels.numpy()).mean() > 0.9
    keys = {key.split(".", 2)[2] for key in state.tensors() if key.startswith("optimizer.")}
    assert keys == state_keys(settings)


def test_accumulated_batches_make_the_step_of_one_large_batch():
    images, labels = task(32)
    spec = NetworkSpec(input=(1, 8, 8), stages=(ConvBlock(width=4, norm=False),), classes=2)
    models = []
    for batch, accumulate in ((32, 1), (8, 4)):
        model = build(spec, 0)
        settings = Optimisation(epochs=1, batch=batch, accumulate=accumulate, optimizer="sgd", momentum=0.0)
        fit(model, images, labels, preprocess=RULE, settings=settings, augmentation=Augment(), seed=0)
        models.append(model.state_dict())
    for name, value in models[0].items():
        torch.testing.assert_close(models[1][name], value, rtol=1e-5, atol=1e-6)


def test_gradients_are_clipped_to_their_norm():
    from lightcnn.engine.state import State

    model = build(SPEC, 0)
    settings = Optimisation(optimizer="sgd", momentum=0.0, weight_decay=0.0, schedule="constant", warmup=0.0,
                            learning_rate=1.0, clip_norm=0.5)  # fmt: skip
    state = State(model, settings, 16)
    before = [p.detach().clone() for p in model.parameters()]
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    state.update()
    moved = torch.cat([(p.detach() - old).flatten() for p, old in zip(model.parameters(), before, strict=True)])
    assert moved.norm().item() == pytest.approx(0.5, rel=1e-4)


def test_the_average_follows_weights_and_statistics():
    from lightcnn.engine.optimizers import Average

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


def test_the_same_network_is_the_same_teacher_in_any_statistics():
    from lightcnn.engine.distillation import Teacher
    from lightcnn.recipe import Distillation

    images, _ = task(6)
    model = build(SPEC, 0).eval()
    other = RULE.model_copy(update={"mean": (0.2,), "deviation": (0.7,)})
    teacher = Teacher(model, RULE, other, Distillation(teacher="x"))
    torch.testing.assert_close(teacher(other.normalise(images)), model(RULE.normalise(images)), rtol=1e-3, atol=1e-4)
    larger = Teacher(model, RULE, other.model_copy(update={"size": 16}), Distillation(teacher="x"))
    assert larger(torch.zeros(2, 1, 16, 16)).shape == (2, 2)
    coloured = Teacher(model, RULE, other.model_copy(update={"mean": (0.2,) * 3, "deviation": (0.7,) * 3}),
                       Distillation(teacher="x"))  # fmt: skip
    assert coloured(torch.zeros(2, 3, 8, 8)).shape == (2, 2)
