"""Whether a network returns logits, probabilities or log probabilities; and logits from any of them.

A network that ends in a softmax returns probabilities. A second softmax over them would give wrong probabilities
without an error, so every network that is not lightcnn's own is examined first.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lightcnn.decisions import OutputKind, are_shares, kind_by_values, sum_to_one

SMALLEST = 1e-30
"""Lower bound of a probability before its logarithm, whose gradient is then finite."""
FORWARDED = frozenset({
    "Add", "Alias", "Cat", "Clamp", "ClampMax", "ClampMin", "Clone", "Div", "Expand", "Mean", "Neg", "Permute",
    "ReshapeAlias", "Rsub", "Slice", "Squeeze", "Stack", "Sub", "T", "ToCopy", "Transpose", "UnsafeView", "Unsqueeze",
    "View",
})  # fmt: skip
"""Operations that may follow the last activation without changing what the outputs are, if their values agree."""
LOG_SOFTMAX, SOFTMAX, SIGMOIDS = "LogSoftmax", "Softmax", frozenset({"Sigmoid", "Hardsigmoid"})
LINEAR = frozenset({"Addmm", "Mm", "Convolution", "MkldnnConvolution", "Linear"})
"""Last operations of a classifier: their outputs have no bounds, so they are logits."""


def output_kind(outputs: Tensor) -> OutputKind:
    """The kind of outputs (N, classes) or (N, 1) of several different images, from their graph and their values.

    Outputs that no graph belongs to are judged by their values alone: probabilities are in 0..1 and their sum is 1.

    Raises: ValueError if a softmax is not over the classes.
    """
    rows, operations = outputs.detach().double().cpu().numpy(), last_operations(outputs)
    if operations and operations <= LINEAR:
        return "logits"
    if operations and operations <= SIGMOIDS and are_shares(rows):
        return "probabilities" if sum_to_one(rows) else "independent probabilities"
    ends_in_softmax = operations in ({SOFTMAX}, {LOG_SOFTMAX})
    kind = kind_by_values(rows, must_vary=not ends_in_softmax)
    if ends_in_softmax and (kind == "logits" or rows.shape[1] == 1):
        raise ValueError("its softmax is not over the classes (dimension 1), or there is one class only")
    return kind


def as_logits(outputs: Tensor, kind: OutputKind) -> Tensor:
    """Logits of outputs (N, C) of a kind, with gradients: their probabilities are those of the outputs.

    The logits of a softmax are known up to a number per image; the mean over the classes is 0. Without that, the
    gradient of a logit would be 0 where its probability is almost 1.
    """
    if kind in ("probabilities", "log probabilities"):
        logs = outputs.clamp_min(SMALLEST).log() if kind == "probabilities" else outputs.clamp_min(math.log(SMALLEST))
        return logs - logs.mean(dim=1, keepdim=True)
    if kind == "independent probabilities":
        return outputs.clamp_min(SMALLEST).log() - (1 - outputs).clamp_min(torch.finfo(outputs.dtype).eps / 2).log()
    return outputs


def last_operations(outputs: Tensor) -> set[str]:
    """The names of the last operations before `outputs` that are not in FORWARDED; empty without a graph."""
    names, waiting, seen = set[str](), [outputs.grad_fn], set[Any]()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        name = node.name().partition("Backward")[0]
        if name in FORWARDED:
            waiting += [parent for parent, _ in node.next_functions]
        elif name != "torch::autograd::AccumulateGrad":
            names.add(name)
    return names
