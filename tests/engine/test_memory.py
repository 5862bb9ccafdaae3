"""The memory of a training: what its estimate says beside what PyTorch keeps for the gradients."""

from __future__ import annotations

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from lightcnn import Recipe, SearchSpace
from lightcnn.cost import cost
from lightcnn.engine.memory import training_bytes
from lightcnn.network import build
from lightcnn.recipe import Optimisation
from lightcnn.spec import ConvBlock, NetworkSpec, ResidualBlock


def kept_bytes(network: NetworkSpec, batch: int) -> int:
    """Bytes of the tensors that one batch of a training keeps for its gradients, without the parameters."""
    module = build(network)
    parameters = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        module(torch.rand(batch, *network.input)).sum()
    return sum(kept.values())


def started(name: str) -> NetworkSpec:
    """The first network of a shipped space."""
    space = SearchSpace.load(name).for_data(3, 10, 64)
    return space.spec(space.first())


def residual() -> NetworkSpec:
    """A network in which two norms share one sum, and the last one has no activation."""
    stages = [
        ResidualBlock(
            body=(ConvBlock(width=width, stride=2, act="relu"), ConvBlock(width=width, act="none")), act="relu"
        )
        for width in (16, 32, 64)
    ]
    return NetworkSpec(input=(3, 32, 32), stages=(*stages, ConvBlock(width=64, act="none")), classes=10)


@pytest.mark.parametrize(
    "network",
    [
        Recipe.load("quick").network,
        Recipe.load("micrompoxnet").network,
        started("micro"),
        started("mobilenet"),
        residual(),
    ],
    ids=["quick", "micrompoxnet", "micro", "mobilenet", "residual"],
)
def test_a_training_needs_no_less_than_its_estimate(network):
    batch = 8
    bytes_of = [training_bytes(cost(network), Optimisation(batch=size), 1_024, "cpu") for size in (batch, 2 * batch)]
    estimate, kept = bytes_of[1] - bytes_of[0], kept_bytes(network, batch)
    assert 0.4 * kept < estimate <= kept


def test_images_are_divided_into_batches_of_nearly_equal_sizes():
    total, settings = cost(residual()), Optimisation(batch=128)
    assert training_bytes(total, settings, 130, "cpu") == training_bytes(
        total, settings.model_copy(update={"batch": 65}), 65, "cpu"
    )
