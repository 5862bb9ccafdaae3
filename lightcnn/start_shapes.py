"""The start shapes of a search space: some genes of the shapes that every search tries first. No torch.

`options` is what every gene of the space may be. A list in a YAML file is a tuple here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightcnn.document import rule_error
from lightcnn.text import nearest

Options = Mapping[str, tuple[Any, ...]]
"""Gene name → its options."""
Start = Mapping[str, Any]
"""Some genes of a shape."""


def check_starts(start: Start, starts: Sequence[Start], options: Options) -> None:
    """Checks the keys `start` and `starts` of a space. Raises: rule_error for the first problem."""
    if start and starts:
        raise rule_error("starts", "start and starts exclude each other; move start into the list and remove it")
    for path, genes in (("start", start), *((f"starts.{number}", genes) for number, genes in enumerate(starts))):
        for name, value in genes.items():
            _check_gene(f"{path}.{name}", name, value, options)


def _check_gene(path: str, name: str, value: Any, options: Options) -> None:
    if name not in options:
        raise rule_error(path, f"unknown gene{nearest(name, options)}; genes: {', '.join(options)}")
    if _as_option(value) not in options[name]:
        listed = ", ".join(str(list(option) if isinstance(option, tuple) else option) for option in options[name])
        raise rule_error(path, f"{value} is not an option of this gene; options: {listed}")


def complete_shapes(starts: Sequence[Start], options: Options) -> tuple[dict[str, Any], ...]:
    """The whole shapes, each once: genes that a start does not name have their middle option."""
    shapes = [
        {
            name: choices[choices.index(_as_option(start[name])) if name in start else len(choices) // 2]
            for name, choices in options.items()
        }
        for start in starts
    ]
    return tuple(shape for number, shape in enumerate(shapes) if shape not in shapes[:number])


def with_sizes(start: Start, sizes: Sequence[int]) -> dict[str, Any]:
    """`start` with the next smaller of `sizes`, or the smallest; without a size if there is only one to choose."""
    others = {name: value for name, value in start.items() if name != "size"}
    if "size" not in start or len(sizes) == 1:
        return others
    return {"size": max((size for size in sizes if size <= start["size"]), default=sizes[0]), **others}


def with_larger_size(start: Start, sizes: Sequence[int], pixels: int) -> dict[str, Any]:
    """`start` with the middle of the `sizes` above its own, if images have more pixels than that; else empty."""
    if "size" not in start or pixels <= start["size"]:
        return {}
    above = [size for size in sizes if size > start["size"]]
    return {**start, "size": above[len(above) // 2]} if above else {}


def _as_option(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
