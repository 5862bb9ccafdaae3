"""The parts of a spec with their cost and their settings in words, as tables and drawings show them. No torch."""

from __future__ import annotations

from typing import Any

from lightcnn.cost import Layer, layers
from lightcnn.output.charts.network_table import Stage
from lightcnn.spec import InvertedResidualBlock, NetworkSpec, ResidualBlock, SqueezeExciteBlock

HEAD = "pooling and classifier"


def spec_stages(network: NetworkSpec) -> list[Stage]:
    """The blocks of stem and stages, and the head. They add up to the cost of the network.

    Args:
        network: The spec.

    Returns:
        The parts from the input to the head.

    Example:
        >>> from lightcnn import Recipe
        >>> from lightcnn.network_stages import spec_stages
        >>> sum(stage.params for stage in spec_stages(Recipe.load("quick").network))
        21876
    """
    by_part: dict[str, list[Layer]] = {}
    for layer in layers(network):
        part = layer.name.split(".")
        by_part.setdefault(".".join(part[:2]) if part[0] in ("stem", "stages") else "head", []).append(layer)
    skips = _skips(network)
    parts = {
        f"{part}.{index}": block for part in ("stem", "stages") for index, block in enumerate(getattr(network, part))
    }
    return [
        _block_stage(name, parts[name], rows, skips.get(name, 0)) if name in parts else _head(network, rows)
        for name, rows in by_part.items()
    ]


def _block_stage(name: str, block: Any, rows: list[Layer], skips: int) -> Stage:
    depth = getattr(block, "depth", 1)
    copies = f"×{depth}" if depth > 1 else ""
    return Stage(
        name, f"{block.kind} {copies}".strip(), rows[-1].shape, *_sums(rows), label=block.kind,
        detail=", ".join(text for text in (copies, _detail(block)) if text), facts=_facts(block), skips=skips,
        excites=_excites(block),
    )  # fmt: skip


def _head(network: NetworkSpec, rows: list[Layer]) -> Stage:
    hidden = ", ".join(map(str, network.head.hidden))
    facts = (f"{network.head.pool} pooling", *([f"hidden layers {hidden}"] if hidden else []), network.head.output)
    return Stage("head", HEAD, rows[-1].shape, *_sums(rows), label="head", facts=facts)


def _sums(rows: list[Layer]) -> tuple[int, int]:
    """Multiply-adds and parameters."""
    return sum(row.cost.macs for row in rows), sum(row.cost.params for row in rows)


def _skips(network: NetworkSpec) -> dict[str, int]:
    """The number of blocks with a skip connection in each part that has one."""
    counts: dict[str, int] = {}
    for path, unit, before, _ in network.units():
        part = path.rpartition(".")[0]
        inverted = isinstance(unit, InvertedResidualBlock) and unit.has_skip(before[0])
        if inverted or isinstance(unit, ResidualBlock):
            counts[part] = counts.get(part, 0) + 1
    return counts


def _excites(block: Any) -> bool:
    if isinstance(block, ResidualBlock):
        return any(map(_excites, block.body))
    return isinstance(block, SqueezeExciteBlock) or getattr(block, "se", None) is not None


def _detail(block: Any) -> str:
    """A few words for the drawing: the kernel, the kind of pooling, or the blocks of a residual body."""
    match block.kind:
        case "residual":
            kinds = [part.kind for part in block.body for _ in range(getattr(part, "depth", 1))]
            name = kinds[0] if len(set(kinds)) == 1 else "blocks"
            return name if len(kinds) == 1 else f"{len(kinds)} {name}"
        case "pool":
            return f"{block.op} {block.kernel}×{block.kernel}"
        case "se":
            return ""
    return f"{block.kernel}×{block.kernel}"


def _facts(block: Any) -> tuple[str, ...]:
    """The settings in words."""
    if isinstance(block, ResidualBlock):
        body = " then ".join(f"{part.kind} ×{getattr(part, 'depth', 1)}" for part in block.body)
        return f"body {body}", f"shortcut {block.shortcut}"
    if isinstance(block, SqueezeExciteBlock):
        return (f"ratio {block.ratio:g}",)
    expand = (f"expansion {block.expand:g}",) if isinstance(block, InvertedResidualBlock) else ()
    return f"kernel {block.kernel}×{block.kernel}", f"stride {block.stride}", *expand
