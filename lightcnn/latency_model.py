"""How long one image takes on this machine, predicted from the spec alone. No torch.

The time is a sum over the operators of the deployed network (`program`): so much for each call, each multiply-add, each
element and each group, and for every kind of operator so much more. `measurement.latency_fit` finds these rates from
the times of a few networks. Kinds follow the ways that PyTorch computes a convolution of one image: on 80 networks of
`micro`, the error that one in ten predictions exceeds, relative to the measured time, was 25 % with one kind for each
operator, and 11 % with those of `_kind`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from lightcnn.budget import LATENCY, ONNX_LATENCY, Cost
from lightcnn.document import Frozen
from lightcnn.program import Program, Step

TimedRuntime = Literal["folded", "onnx"]
"""What runs the network: PyTorch with folded norms, or ONNX Runtime."""
RUNTIME_OF: dict[str, TimedRuntime] = {LATENCY.name: "folded", ONNX_LATENCY.name: "onnx"}
"""The runtime whose time a resource of a budget is."""
LARGE_ELEMENTS = 20_480
"""PyTorch computes a convolution of one image with more input elements, or with a larger kernel than 3, in oneDNN."""
ALL = "all "
"""Begins the names of features of all kinds."""
Rates = Annotated[
    dict[str, Annotated[float, Field(ge=0, le=1e9)]], Field(max_length=100, description="microseconds for each feature")
]


class LatencyModel(Frozen):
    """Predicts the microseconds of one image in a runtime, from rates for the features of `latency_features`.

    `error` is that of nine in ten of the networks that the rates were fitted to, each predicted without itself.

    Example:
        >>> from lightcnn import Recipe
        >>> from lightcnn.latency_model import LatencyModel, latency_features
        >>> from lightcnn.program import program
        >>> model = LatencyModel(runtime="folded", rates={"conv calls": 20.0}, error=0.1, networks=30)
        >>> round(model.bound(latency_features(program(Recipe.load("quick").network))))
        22
    """

    runtime: TimedRuntime
    rates: Rates
    error: Annotated[float, Field(ge=0, le=10, description="relative to the prediction; one in ten has a larger one")]
    networks: Annotated[int, Field(ge=1, le=10_000, description="networks that were timed")]

    def predict(self, features: Mapping[str, float]) -> float:
        """The microseconds of a network, or of a part, with those features."""
        return sum(self.rates.get(name, 0.0) * value for name, value in features.items())

    def bound(self, features: Mapping[str, float]) -> float:
        """Microseconds that at most one network in ten exceeds."""
        return self.predict(features) * (1 + self.error)

    @property
    def resource(self) -> str:
        """The number of a cost that the model predicts."""
        return next(name for name, runtime in RUNTIME_OF.items() if runtime == self.runtime)


def with_latencies(total: Cost, bounds: Mapping[str, float]) -> Cost:
    """A cost with times, each rounded up to a microsecond."""
    return replace(total, **{name: math.ceil(microseconds) for name, microseconds in bounds.items()})


def latency_features(steps: Program) -> Counter[str]:
    """Features of a program, such as `pointwise macs` and `all macs`; those of a network are the sums of its parts'."""
    features: Counter[str] = Counter()
    for step in steps.steps:
        if step.operator == "input":
            continue
        kind, elements = _kind(steps, step), steps.elements(step.output)
        features[f"{kind} calls"] += 1
        if step.weights:
            features[f"{kind} macs"] += elements * math.prod(steps.weight_shape(step)[1:])
            if step.groups > 1:
                features[f"{kind} groups"] += step.groups
        else:
            features[f"{kind} elements"] += elements + steps.elements(step.inputs[0])
        if step.function != "none":
            features["function calls"] += 1
            features["function elements"] += elements
    for name, value in tuple(features.items()):
        features[ALL + name.split()[-1]] += value
    return features


def _kind(steps: Program, step: Step) -> str:
    """The kind of an operator: those of one kind are computed alike, so that their rates are equal."""
    if step.operator == "depthwise":
        return "depthwise" if step.kernel != (1, 1) else "depthwise-1x1"
    if step.operator != "conv":
        return "pool" if step.operator in ("maxpool", "avgpool") else step.operator
    if steps.shapes[step.inputs[0]][1:] == (1, 1):
        return "dense"
    kind = "grouped" if step.groups > 1 else "pointwise" if step.kernel == (1, 1) else "conv"
    is_large = steps.elements(step.inputs[0]) > LARGE_ELEMENTS or step.kernel[0] > 3
    return kind if is_large else f"small-{kind}"
