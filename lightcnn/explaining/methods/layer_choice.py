"""Which layers of a network give maps, found by running it once, and which of them Grad-CAM takes."""

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
from lightcnn.text import nearest

LEAST = 7
"""Pixels of a side that a map should have at least: the last maps of the networks that Grad-CAM was shown on."""
TOKENS = (nn.Softmax, nn.Dropout)
"""What tokens pay attention to other tokens has the shape of a map and is none."""
OBLONG = 0.15
"""How far the sides of an oblong image may be reduced differently, as by convolutions without padding."""
LISTED = 12
"""Layers that an error names, the deepest."""


@dataclass(frozen=True)
class MapLayer:
    """A module whose output is a map (1, channels, height, width), of its last call where it is called again.

    `depth` is the share of the network's layers with weights that have run by then. Everything that the network reads
    passes through a layer that is `whole`: no shortcut leads around it. `also` names modules that hand on the same map.
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
    """One run of a network: the score (1,) with its graph, the layers in the order they ran, and their maps by name."""

    score: Tensor
    layers: tuple[MapLayer, ...]
    maps: Mapping[str, Tensor]
    versions: Mapping[str, int]

    def intact(self, layer: MapLayer) -> bool:
        """Whether the map is still what the layer gave: nothing has been written into it since."""
        return self.maps[layer.name]._version == self.versions[layer.name]


def candidates(explained: ExplainedNetwork, inputs: Tensor) -> list[MapLayer]:
    """The layers that Grad-CAM can take, in the order they run for an image (1, C, H, W)."""
    return list(trace(explained, inputs).layers)


def choose(layers: Sequence[MapLayer]) -> MapLayer:
    """The deepest whose map is at least 7 × 7, or the deepest of the largest maps where none is.

    Of maps of that size it is the last that is whole: inside a block with a shortcut a map is only a part of the story.
    Raises: InputError without layers.
    """
    if not layers:
        raise InputError(
            "explain: Grad-CAM needs a layer that gives a map (channels, height, width) with a gradient from the "
            "score, as convolutions do, and this network has none; use --method ig, lime or occlusion"
        )
    fine = [layer for layer in layers if min(layer.height, layer.width) >= LEAST]
    largest = max(layer.height * layer.width for layer in layers)
    deepest = (fine or [layer for layer in layers if layer.height * layer.width == largest])[-1]
    equal = [layer for layer in layers if (layer.height, layer.width) == (deepest.height, deepest.width)]
    return next((layer for layer in reversed(equal) if layer.whole), deepest)


def named(layers: Sequence[MapLayer], name: str) -> MapLayer:
    """The layer of that name. Raises: InputError, with the names there are."""
    for layer in layers:
        if name == layer.name or name in layer.also:
            return layer
    names = [layer.name for layer in layers]
    left = f"{len(names) - LISTED} before, " if len(names) > LISTED else ""
    raise InputError(
        f"--layer {name}: no layer of that name gives a map{nearest(name, names)}; "
        f"those that do: {left}{', '.join(map(str, layers[-LISTED:])) or 'none'}"
    )


def trace(explained: ExplainedNetwork, inputs: Tensor, target: int = 0, *, keep: str | None = None) -> LayerTrace:
    """Runs the network on an image (1, C, H, W). What comes after the layer `keep` works on a copy of its map."""
    recorder = _Recorder(inputs, keep)
    with torch.inference_mode(False), ExitStack() as hooks:
        for name, module in explained.model.named_modules():
            hooks.enter_context(module.register_forward_hook(partial(recorder.see, name)))
        score = explained.score(inputs.detach().clone().requires_grad_(), target)
    reached, crossed = _paths(score.grad_fn)
    seen = {name: one for name, one in recorder.seen.items() if one.node in reached}
    layers = tuple(_layers(seen, crossed, recorder.weighted))
    return LayerTrace(
        score,
        layers,
        {layer.name: seen[layer.name].output for layer in layers},
        {layer.name: seen[layer.name].version for layer in layers},
    )


@dataclass(frozen=True, eq=False)
class _Seen:
    """An output as it was given: what is written into it later raises torch's count above `version`."""

    kind: str
    output: Tensor
    version: int
    node: Any
    weighted: int


class _Recorder:
    """Sees the outputs of modules go by: `seen` has the maps in the order of their last calls."""

    def __init__(self, inputs: Tensor, keep: str | None) -> None:
        self.size = inputs.shape[2:]
        self.keep = keep
        self.seen: dict[str, _Seen] = {}
        self.weighted = 0

    def see(self, name: str, module: nn.Module, _: Any, output: Any) -> Tensor | None:
        """A forward hook."""
        self.weighted += next(module.parameters(recurse=False), None) is not None
        self.seen.pop(name, None)
        if not isinstance(output, Tensor) or not self._is_map(output) or isinstance(module, TOKENS):
            return None
        kept = output.clone() if name == self.keep else output
        self.seen[name] = _Seen(type(module).__name__, kept, kept._version, kept.grad_fn, self.weighted)
        return kept.clone() if name == self.keep else None

    def _is_map(self, output: Tensor) -> bool:
        """(1, C, h, w) in the proportions of the image; (1, h, w, C) and (1, heads, tokens, width) are not."""
        if output.ndim != 4 or len(output) != 1:
            return False
        (height, width), (h, w) = self.size, output.shape[2:]
        return bool(h == w if height == width else abs(h / height - w / width) <= OBLONG)


def _layers(seen: Mapping[str, _Seen], crossed: set[Any], weighted: int) -> Iterator[MapLayer]:
    """One for every map: of the module that made it, with those that hand it on."""
    makers: dict[tuple[int, int], list[str]] = {}
    for name, one in seen.items():
        makers.setdefault((id(one.output), one.version), []).append(name)
    for name, *also in makers.values():
        one = seen[name]
        channels, height, width = one.output.shape[1:]
        depth = one.weighted / weighted if weighted else 1.0
        yield MapLayer(name, one.kind, channels, height, width, depth, one.node in crossed, tuple(also))


def _paths(score: Any) -> tuple[set[Any], set[Any]]:
    """The nodes of a graph between its input and a score, and those of them that every path crosses."""
    order = _ordered(score)
    ahead, crossed = {score}, set()
    for node in order:
        ahead.discard(node)
        if not ahead:
            crossed.add(node)
        ahead.update(_next(node))
    return set(order), crossed


def _ordered(score: Any) -> list[Any]:
    """A graph's nodes from the score on, each before those that it depends on."""
    order, met, stack = [], set(), [(score, False)] if score is not None else []
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif node not in met:
            met.add(node)
            stack.append((node, True))
            stack.extend((after, False) for after in _next(node))
    return order[::-1]


def _next(node: Any) -> list[Any]:
    return [after for after, _ in node.next_functions if after is not None]
