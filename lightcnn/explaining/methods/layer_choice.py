"""The layers of a network that have maps, found by one forward pass, and which of them Grad-CAM uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lightcnn.errors import InputError
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.methods.catalogue import methods_that_need
from lightcnn.text import nearest

MIN_MAP_SIZE = 7
"""Height and width that a map should have at least, as the last maps of the networks in the paper of Grad-CAM."""
ATTENTION_LAYERS = (nn.Softmax, nn.Dropout)
"""Modules whose outputs may be attention weights, which have the shape of a map but are none."""
ASPECT_TOLERANCE = 0.15
"""How differently height and width of an oblong image may be reduced, as by convolutions without padding."""
MAX_LISTED = 12
"""Number of layers that an error lists; these are the deepest."""


@dataclass(frozen=True)
class MapLayer:
    """A module whose output is a map (1, channels, height, width); of a module that runs repeatedly, the last output.

    `depth` is the share of the network's layers with weights that have run by then. A layer is `whole` if no shortcut
    leads around it: all information that the network uses passes through it. `also` names modules that return the same
    map.
    """

    name: str
    kind: str
    channels: int
    height: int
    width: int
    depth: float
    whole: bool
    also: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} ({self.kind}, {self.channels} × {self.height} × {self.width})"


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """One forward pass: the score (1,) with its graph, the layers in the order in which they ran, and their maps."""

    score: Tensor
    layers: tuple[MapLayer, ...]
    maps: Mapping[str, Tensor]
    versions: Mapping[str, int]

    def is_unchanged(self, layer: MapLayer) -> bool:
        """Whether a layer's map is still its output: no later operation has written into it."""
        return self.maps[layer.name]._version == self.versions[layer.name]


def map_layers(explained: ExplainedNetwork, inputs: Tensor) -> list[MapLayer]:
    """The layers that Grad-CAM can use, in the order in which they run on an image (1, C, H, W)."""
    return list(trace_layers(explained, inputs).layers)


def choose_layer(layers: Sequence[MapLayer]) -> MapLayer:
    """The deepest layer with a map of at least 7 × 7; if all maps are smaller, the deepest of those with the largest.

    Among layers with maps of that size, the last whole one is chosen: inside a block with a shortcut a map shows only a
    part of the information.

    Raises: InputError if there are no layers.
    """
    if not layers:
        raise InputError(
            "explain: Grad-CAM needs a layer whose output is a map (channels, height, width) with a gradient, such as "
            "that of a convolution, and this network has none; "
            f"use --method {methods_that_need('gradients', 'predictions')}"
        )
    fine = [layer for layer in layers if min(layer.height, layer.width) >= MIN_MAP_SIZE]
    largest = max(layer.height * layer.width for layer in layers)
    deepest = (fine or [layer for layer in layers if layer.height * layer.width == largest])[-1]
    same_size = [layer for layer in layers if (layer.height, layer.width) == (deepest.height, deepest.width)]
    return next((layer for layer in reversed(same_size) if layer.whole), deepest)


def find_layer(layers: Sequence[MapLayer], name: str) -> MapLayer:
    """The layer with that name. Raises: InputError with the known names."""
    for layer in layers:
        if name == layer.name or name in layer.also:
            return layer
    names = [layer.name for layer in layers]
    earlier = f"{len(names) - MAX_LISTED} earlier layers, " if len(names) > MAX_LISTED else ""
    raise InputError(
        f"--layer {name}: no layer with that name has a map{nearest(name, names)}; "
        f"layers with maps: {earlier}{', '.join(map(str, layers[-MAX_LISTED:])) or 'none'}"
    )


def trace_layers(
    explained: ExplainedNetwork, inputs: Tensor, target: int = 0, *, keep: str | None = None
) -> LayerTrace:
    """Runs the network on an image (1, C, H, W). Everything after the layer `keep` works on a copy of its map."""
    recorder = _Recorder(inputs, keep)
    with torch.inference_mode(False), ExitStack() as hooks:
        for name, module in explained.model.named_modules():
            hooks.enter_context(module.register_forward_hook(partial(recorder.record, name)))
        score = explained.score(inputs.detach().clone().requires_grad_(), target)
    reached, crossed = _paths(score.grad_fn)
    outputs = {name: output for name, output in recorder.outputs.items() if output.node in reached}
    layers = tuple(_layers(outputs, crossed, recorder.weighted))
    return LayerTrace(
        score,
        layers,
        {layer.name: outputs[layer.name].output for layer in layers},
        {layer.name: outputs[layer.name].version for layer in layers},
    )


@dataclass(frozen=True, eq=False)
class _RecordedOutput:
    """A module's output. Writing into it raises torch's counter above `version`."""

    kind: str
    output: Tensor
    version: int
    node: Any
    weighted: int


class _Recorder:
    """Records the outputs of modules that are maps: `outputs` is in the order of their last calls."""

    def __init__(self, inputs: Tensor, keep: str | None) -> None:
        self.size = inputs.shape[2:]
        self.keep = keep
        self.outputs: dict[str, _RecordedOutput] = {}
        self.weighted = 0

    def record(self, name: str, module: nn.Module, _: Any, output: Any) -> Tensor | None:
        """A forward hook."""
        self.weighted += next(module.parameters(recurse=False), None) is not None
        self.outputs.pop(name, None)
        if not isinstance(output, Tensor) or not self._is_map(output) or isinstance(module, ATTENTION_LAYERS):
            return None
        kept = output.clone() if name == self.keep else output
        self.outputs[name] = _RecordedOutput(type(module).__name__, kept, kept._version, kept.grad_fn, self.weighted)
        return kept.clone() if name == self.keep else None

    def _is_map(self, output: Tensor) -> bool:
        """Whether it is (1, C, h, w) in the proportions of the image, not (1, h, w, C) or (1, heads, tokens, width)."""
        if output.ndim != 4 or len(output) != 1 or output.is_complex():
            return False
        (height, width), (h, w) = self.size, output.shape[2:]
        return bool(h == w if height == width else abs(h / height - w / width) <= ASPECT_TOLERANCE)


def _layers(outputs: Mapping[str, _RecordedOutput], crossed: set[Any], weighted: int) -> Iterator[MapLayer]:
    """One layer per map: the module that made it, with the names of those that return it unchanged."""
    makers: dict[tuple[int, int], list[str]] = {}
    for name, output in outputs.items():
        makers.setdefault((id(output.output), output.version), []).append(name)
    for name, *also in makers.values():
        output = outputs[name]
        channels, height, width = output.output.shape[1:]
        depth = output.weighted / weighted if weighted else 1.0
        yield MapLayer(name, output.kind, channels, height, width, depth, output.node in crossed, tuple(also))


def _paths(score: Any) -> tuple[set[Any], set[Any]]:
    """The nodes of the graph from its input to the score, and those of them that every path crosses."""
    order = _topological_order(score)
    ahead, crossed = {score}, set()
    for node in order:
        ahead.discard(node)
        if not ahead:
            crossed.add(node)
        ahead.update(_inputs_of(node))
    return set(order), crossed


def _topological_order(score: Any) -> list[Any]:
    """The nodes of a graph from the score on, each before those that it depends on."""
    order, visited, stack = [], set(), [(score, False)] if score is not None else []
    while stack:
        node, expanded = stack.pop()
        if expanded:
            order.append(node)
        elif node not in visited:
            visited.add(node)
            stack.append((node, True))
            stack.extend((previous, False) for previous in _inputs_of(node))
    return order[::-1]


def _inputs_of(node: Any) -> list[Any]:
    return [previous for previous, _ in node.next_functions if previous is not None]
