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
from lightcnn.spec import NetworkSpec


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


@pytest.mark.parametrize(
    "network",
    [Recipe.load("quick").network, Recipe.load("micrompoxnet").network, started("micro"), started("mobilenet")],
    ids=["quick", "micrompoxnet", "micro", "mobilenet"],
)
def test_a_training_needs_no_less_than_its_estimate(network):
    batch = 8
    bytes_of = [training_bytes(cost(network), Optimisation(batch=size), "cpu") for size in (batch, 2 * batch)]
    estimate, kept = bytes_of[1] - bytes_of[0], kept_bytes(network, batch)
    assert 0.5 * kept < estimate <= kept
