"""The network with randomised last layers."""

from __future__ import annotations

import pytest
import torch
from helpers.map_checks import (
    CLASSES,
    convolutional_network,
    image_of_signs,
)
from torch import Tensor, nn

from lightcnn.explaining.checks.weight_randomisation import randomised
from lightcnn.explaining.explained_network import ExplainedNetwork


class Scaled(nn.Module):
    """Has a parameter but no `reset_parameters`."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((1, 64, 1, 1), 3.0))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class Reversed(nn.Module):
    """Six modules with parameters, called in the reverse of the order in which they are named."""

    def __init__(self) -> None:
        super().__init__()
        self.scaled = Scaled()
        self.norm = nn.BatchNorm2d(64)
        self.convolutions = nn.ModuleList([nn.Conv2d(64, 64, 1), nn.Conv2d(64, 64, 1), nn.Conv2d(64, 64, 1)])
        self.first = nn.Conv2d(1, 64, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for part in reversed(self.convolutions):
            x = part(x)
        return self.scaled(self.norm(x)).mean(dim=(2, 3))[:, :2]


def test_only_the_third_that_is_called_last_is_randomised() -> None:
    model = Reversed()
    model.norm.running_mean.fill_(5.0)
    explained = ExplainedNetwork.bare(model, 1, CLASSES)
    before = {name: tensor.clone() for name, tensor in explained.model.state_dict().items()}
    state = torch.random.get_rng_state()
    first, same, other = (randomised(explained, torch.zeros(1, 1, 8, 8), seed) for seed in (0, 0, 1))
    assert torch.equal(state, torch.random.get_rng_state())
    after = first.model.state_dict()
    assert all(torch.equal(tensor, before[name]) for name, tensor in explained.model.state_dict().items())
    assert all(torch.equal(tensor, same.model.state_dict()[name]) for name, tensor in after.items())
    changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert changed == {"scaled.scale", "norm.running_mean"}
    assert not torch.equal(after["scaled.scale"], other.model.state_dict()["scaled.scale"])
    assert float(after["scaled.scale"].square().mean().sqrt()) == pytest.approx(3, rel=0.3)
    assert float(after["norm.running_mean"].abs().sum()) == 0
    assert not first.model.training
    assert not any(part._forward_hooks for part in first.model.modules())
    assert not any(tensor.requires_grad for tensor in first.model.parameters())


def test_a_signal_survives_the_randomised_layers() -> None:
    """In PyTorch's default initialisation, ten dense layers give all images the same logits to five digits."""
    layers = [part for _ in range(10) for part in (nn.Linear(64, 64), nn.ReLU())]
    model = nn.Sequential(nn.Flatten(), *[nn.Linear(64, 64) for _ in range(22)], *layers, nn.Linear(64, 2))
    images = torch.randn(32, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for part in model[:23]:
            if isinstance(part, nn.Linear):
                nn.init.eye_(part.weight)
    explained = ExplainedNetwork.bare(model, 1, CLASSES)
    assert float(explained.logits(images).std(dim=0).max()) < 1e-2
    assert float(randomised(explained, images, 0).logits(images).std(dim=0).min()) > 0.1


def test_randomising_seeds_no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    subject, seeded = convolutional_network(), list[int]()
    for accelerator in (torch.cuda, torch.mps, torch.xpu):
        monkeypatch.setattr(accelerator, "manual_seed_all", seeded.append, raising=False)
        monkeypatch.setattr(accelerator, "manual_seed", seeded.append, raising=False)
    randomised(subject, image_of_signs(), 7)
    assert not seeded
