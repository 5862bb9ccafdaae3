"""What benchmarks of trainings begin with: the images of a source, and the first network of `micro` within a budget."""

from __future__ import annotations

import torch

from lightcnn.budget import Budget
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.sources.load import load
from lightcnn.data.split import make_split
from lightcnn.recipe import Reading
from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.space import SearchSpace
from lightcnn.spec import NetworkSpec


def first_network(source: str, budget: str) -> tuple[Pipeline, NetworkSpec]:
    """The images on the CPU, split with seed 0, and the network."""
    dataset = load(source, Reading())
    pipeline = Pipeline(dataset, make_split(dataset, 0, Reading()), torch.device("cpu"))
    space = SearchSpace.load("micro").for_data(dataset.channels, len(dataset.classes), dataset.size)
    candidate = BudgetedSpace(space, Budget.parse(budget)).fit(space.first())
    assert candidate is not None
    return pipeline, candidate.spec
