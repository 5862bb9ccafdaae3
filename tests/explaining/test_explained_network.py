"""Every method leaves the caller's model unchanged, whatever happens, and its own copy ready for the next method."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from lightcnn.data.preprocess import Preprocess
from lightcnn.errors import InputError
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.methods.attribution import Attribution
from lightcnn.explaining.methods.catalogue import METHODS, MethodOptions, make_method

SIZE = 16
PREPROCESS = Preprocess(
    size=SIZE, channels=3, shorter_side=SIZE, mean=(0.5, 0.4, 0.3), deviation=(0.2, 0.25, 0.3), classes=("a", "b")
)
PIXELS = torch.randint(256, (1, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
BOTH = pytest.mark.parametrize("bare", [False, True])
EVERY = pytest.mark.parametrize("name", METHODS)


class Model(nn.Module):
    """In training mode, half frozen, with in-place activations, a user's hooks, and failures on request."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(8, 1)
        self.failures: list[BaseException | None] = []
        self.called: list[int] = []
        self.frozen.requires_grad_(False).eval()
        self.frozen[1].running_var.fill_(3)
        self.conv.weight.grad = torch.ones_like(self.conv.weight)
        self.conv.register_forward_pre_hook(lambda *_: self.called.append(1))
        self.conv.register_forward_hook(lambda *_: self.called.append(1))
        self.conv.register_full_backward_hook(lambda *_: self.called.append(1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.frozen(x)
        x = x + self.conv(x)
        x += 1
        if self.failures and (failure := self.failures.pop()):
            raise failure
        x = self.drop(nn.functional.relu(x, inplace=True))
        out: Tensor = self.head(x.square().mean(dim=(2, 3)))
        return out


def seeded() -> Model:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Model()


def full_state(model: Model) -> Any:
    """Everything that a method could change."""
    return (
        [(name, tensor.clone().numpy().tobytes(), tensor.data_ptr()) for name, tensor in model.state_dict().items()],
        [
            (parameter.requires_grad, None if parameter.grad is None else parameter.grad.sum().item())
            for parameter in model.parameters()
        ],
        [
            (name, module.training, getattr(module, "inplace", None), sorted(vars(module)))
            for name, module in model.named_modules()
        ],
        [[list(getattr(module, hooks)) for hooks in HOOKS] for module in model.modules()],
        list(model.called),
        torch.get_rng_state().tolist(),
        str(np.random.get_state()),
        torch.is_grad_enabled(),
    )


def explained(model: nn.Module, bare: bool) -> tuple[ExplainedNetwork, Tensor]:
    if bare:
        return ExplainedNetwork.bare(model, 3, ("a", "b"), batch=4), PIXELS.float() / 255
    network = ExplainedNetwork.of(model, PREPROCESS, batch=4)
    return network, network.inputs(PIXELS)


def run(name: str, subject: ExplainedNetwork, inputs: Tensor, target: int = 1) -> Attribution:
    return make_method(name, MethodOptions(samples=40, segments=6))(subject, inputs, target)


def hooked(subject: ExplainedNetwork) -> int:
    return sum(len(getattr(module, hooks)) for module in subject.model.modules() for hooks in HOOKS)


@EVERY
@BOTH
def test_a_method_leaves_no_trace(name: str, bare: bool) -> None:
    model = seeded()
    before = full_state(model)
    subject, inputs = explained(model, bare)
    kept = inputs.clone()
    copied = {key: value.clone() for key, value in subject.model.state_dict().items()}
    first = run(name, subject, inputs)
    assert full_state(model) == before
    assert hooked(subject) == 0
    assert all(torch.equal(value, copied[key]) for key, value in subject.model.state_dict().items())
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in subject.model.parameters())
    assert torch.equal(inputs, kept) and not inputs.requires_grad
    assert np.array_equal(run(name, subject, inputs).map, first.map)
    assert first.method == name and first.map.shape == (SIZE, SIZE) and first.map.any()


@EVERY
@BOTH
@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize("failure", [ZeroDivisionError("in forward"), KeyboardInterrupt()])
def test_a_method_leaves_no_trace_when_it_is_stopped(name: str, bare: bool, after: int, failure: BaseException) -> None:
    if after and name in ("gradcam", "gradcam++", "layercam"):
        after = 0  # these methods run the network once
    model = seeded()
    before = full_state(model)
    subject, inputs = explained(model, bare)
    expected = run(name, subject, inputs).map
    subject.model.failures = [failure, *[None] * after]
    with pytest.raises(type(failure)):
        run(name, subject, inputs)
    assert full_state(model) == before
    assert hooked(subject) == 0
    assert np.array_equal(run(name, subject, inputs).map, expected)


@EVERY
def test_methods_work_where_gradients_are_off(name: str) -> None:
    subject, inputs = explained(seeded(), bare=False)
    expected = run(name, subject, inputs).map
    with torch.no_grad():
        assert np.array_equal(run(name, subject, inputs).map, expected)
    with torch.inference_mode():
        assert np.array_equal(run(name, *explained(seeded(), bare=False)).map, expected)


@EVERY
def test_the_users_model_still_works(name: str) -> None:
    model = seeded()
    subject, inputs = explained(model, bare=True)
    run(name, subject, inputs)
    model(inputs.requires_grad_()).sum().backward()
    assert model.called == [1, 1, 1]


@EVERY
def test_hooks_that_compute_weights_are_kept(name: str) -> None:
    model = seeded()
    expected = run(name, *explained(model, bare=False)).map
    prune.l1_unstructured(model.conv, "weight", 0.5)
    thinned = run(name, *explained(model, bare=False)).map
    assert not np.array_equal(thinned, expected)
    prune.remove(model.conv, "weight")
    assert np.array_equal(run(name, *explained(model, bare=False)).map, thinned)


@EVERY
def test_a_network_without_convolutions(name: str) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE**2, 2))
    subject, inputs = explained(model, bare=True)
    if name in ("gradcam", "gradcam++", "layercam"):
        with pytest.raises(InputError, match="use --method ig, lime or occlusion"):
            run(name, subject, inputs)
    else:
        assert run(name, subject, inputs).map.any()
