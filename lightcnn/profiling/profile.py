"""`lightcnn.profile`: what one network costs, by every counter and by the clock; the network stays unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from markupsafe import Markup
from rich.table import Table
from torch import nn

from lightcnn.baseline_spec import AnySpec, BaselineSpec
from lightcnn.baselines import build_network
from lightcnn.budget import Cost
from lightcnn.counting.copies import eval_copy, zero_image
from lightcnn.counting.count import Count, count
from lightcnn.counting.layers import LayerRow
from lightcnn.counting.passes import instabilities, keep_random_state
from lightcnn.device_cost import device_cost
from lightcnn.devices import require_memory
from lightcnn.errors import InputError
from lightcnn.measurement.latency import Latency, measure, torch_threads
from lightcnn.measurement.memory import ResidentMemory
from lightcnn.measurement.runtime_names import FOLDED
from lightcnn.measurement.runtimes import timed_models
from lightcnn.output import html
from lightcnn.output.charts.network_table import Stage
from lightcnn.profiling import columns, terminal
from lightcnn.progress import no_progress
from lightcnn.python_calls import python_call
from lightcnn.spec import NetworkSpec, Shape
from lightcnn.text import first_line, shorten

DEFAULT_INPUT: Shape = (3, 224, 224)
FOLDED_NOTE = (
    "params, macs_as_given, fvcore, thop, torch and the layers are of the network as given; params_deployed, macs, "
    "weight bytes and peak activations are of the deployed network, in which norms are folded"
)
"""Which numbers of a row count which network."""


@dataclass(frozen=True)
class Accuracy:
    """An accuracy (0 to 1) and its source: a run, a file, or a publication.

    `input` (C, H, W) is the size at which it was measured; None if that is not known.
    """

    value: float
    source: str
    input: Shape | None = None


@dataclass(frozen=True, eq=False)
class Profile:
    """The costs of one network for images of `input` (C, H, W).

    Figures show the first of `latencies`, if any. `resident` is the measured memory, `notes` are caveats of the timing.
    `other_accuracy` states an accuracy that was measured at another input size. `stages` are the parts of the network
    for its drawing, if it is not from an ONNX file.

    Example:
        >>> import lightcnn
        >>> lightcnn.profile(lightcnn.Recipe.load("quick").network).input
        (1, 16, 16)
    """

    name: str
    source: str
    input: Shape
    count: Count
    latencies: tuple[Latency, ...] = ()
    resident: ResidentMemory | None = None
    accuracy: Accuracy | None = None
    notes: tuple[str, ...] = ()
    other_accuracy: str = ""
    device: Cost | None = None
    """What the network of a spec needs on a microcontroller; None for other networks."""
    stages: tuple[Stage, ...] = ()

    @property
    def layers(self) -> tuple[LayerRow, ...]:
        """One row per module that computes; the rows add up to `count`."""
        return self.count.layers

    def require_memory(self, device: torch.device, batch: int) -> None:
        """Raises: InputError if the file of the weights and the activations of a batch do not fit into the device."""
        needed = self.count.file_bytes + batch * self.count.peak_activation_bytes
        remedy = f"reduce --batch {batch}, or its input" if batch > 1 else "reduce its input or its size"
        require_memory(self.name, needed, device, remedy=remedy)

    def document(self) -> dict[str, Any]:
        """The network's row in report.json."""
        first = self.latencies[0] if self.latencies else None
        folded = [FOLDED_NOTE] if self.count.params_deployed != self.count.params else []
        keys = ("median", "p95", "iqr", "runs", "threads", "runtime", "layout", "device", "unstable")
        return {
            "name": self.name,
            "source": self.source,
            "input": list(self.input),
            **self.count.document(),
            "flash_bytes": self.device and self.device.flash_bytes,
            "arena_bytes": self.device and self.device.arena_bytes,
            "notes": [*self.count.notes, *self.notes, *folded],
            "peak_resident_bytes": {"process": self.resident.peak, "own": self.resident.network}
            if self.resident
            else None,
            "latency_ms": {key: getattr(first, key) for key in keys} if first else None,
            "images_per_second": first.images_per_second if first else None,
            "latencies": [latency.document() for latency in self.latencies],
            "accuracy": {"value": self.accuracy.value, "source": self.accuracy.source} if self.accuracy else None,
            **self._efficiency(),
        }

    def _efficiency(self) -> dict[str, float | None]:
        """The paper's two: accuracy in per cent per megabyte of the Keras file, and per second of one inference."""
        percent = 100 * self.accuracy.value if self.accuracy else None
        seconds = self.latencies[0].median / 1000 if self.latencies else None
        return {
            "accuracy_per_megabyte": percent / (self.count.keras_adam_bytes / 1e6) if percent is not None else None,
            "accuracy_per_second": percent / seconds if percent is not None and seconds else None,
        }

    def __str__(self) -> str:
        row = self.document()
        lines = [*columns.mark_lines([row]), *row["notes"]]
        return columns.markdown([row], columns.useful_columns([row])) + "".join(f"\n{line}" for line in lines)

    def __rich__(self) -> Table:
        row = self.document()
        table = terminal.table([row], columns.useful_columns([row]))
        table.caption = "\n".join((*columns.mark_lines([row]), *row["notes"])) or None
        return table

    def _repr_html_(self) -> str:
        row = self.document()
        marks = Markup("").join(html.paragraph(line) for line in (*columns.mark_lines([row]), *row["notes"]))
        return html.table(**columns.table([row], columns.useful_columns([row]))) + marks


@python_call
def profile(
    model: nn.Module | NetworkSpec | BaselineSpec,
    input: Shape | None = None,
    *,
    latency: bool = False,
    threads: int = 1,
) -> Profile:
    """Counts, and optionally times, any module or the network of a spec; the model stays unchanged.

    Args:
        model: A torch module, or a spec, whose network is then built.
        input: The size (C, H, W) of an image in pixels; the default is the spec's own, or (3, 224, 224) for a module.
        latency: Also measure the latency on the CPU for a few seconds.
        threads: Number of threads of one inference.

    Returns:
        A `Profile`. It prints as a table; `.count` has the numbers and `.layers` one row per module that computes.

    Raises:
        InputError: If the network cannot take the image, or if its cost depends on the image.

    Example:
        >>> import lightcnn, torch
        >>> lightcnn.profile(torch.nn.Conv2d(3, 8, 3), input=(3, 32, 32)).count.macs
        194400
    """
    shape, module, name = _resolve(model, input)
    notes: list[str] = []
    with keep_random_state(), torch_threads(threads):
        if isinstance(model, nn.Module) and not any(tensor.is_meta for tensor in module.parameters()):
            subject = eval_copy(module)
            notes = instabilities(subject, torch.randn_like(zero_image(subject, shape, batch=2)))
        counts = count(module, shape, file_notes(module))
        times: tuple[Latency, ...] = ()
        if latency:
            ready = timed_models(
                module, counts.pairs, shape, runtimes=(FOLDED,), device=torch.device("cpu"), batch=1, threads=threads
            )
            times = tuple(measure(ready, seconds=3.0, threads=threads, progress=no_progress))
    spec = model if isinstance(model, (NetworkSpec, BaselineSpec)) else getattr(model, "spec", None)
    return Profile(name, "python", shape, counts, times, notes=tuple(notes), device=cost_on_device(spec, shape))


def cost_on_device(spec: object, shape: Shape) -> Cost | None:
    """What the network of a spec costs on a microcontroller for images of a size; None for any other network."""
    return device_cost(spec.model_copy(update={"input": shape})) if isinstance(spec, NetworkSpec) else None


def file_notes(model: nn.Module) -> dict[str, str] | None:
    """The metadata that lightcnn writes into the weights file of its networks; None for other modules."""
    spec = getattr(model, "spec", None)
    if not isinstance(spec, (NetworkSpec, BaselineSpec)):
        return None
    return {"spec": spec.digest(), "stand_in": "false"}


def with_input(spec: AnySpec, input: Shape | None) -> AnySpec:
    """The spec with another input size, checked again. Raises: InputError."""
    if input is None or input == spec.input:
        return spec
    try:
        return type(spec).model_validate(dict(spec) | {"input": input})
    except ValueError as error:
        raise InputError(f"--input {'x'.join(map(str, input))}: {spec.name}: {_reason(error)}") from None


def _resolve(model: nn.Module | AnySpec, input: Shape | None) -> tuple[Shape, nn.Module, str]:
    """Input size, module and name of a module or a spec. Raises: InputError for any other type."""
    if not isinstance(model, nn.Module | NetworkSpec | BaselineSpec):
        raise InputError(f"profile: model has type {type(model).__name__}; give a torch.nn.Module or a spec")
    if input is not None and not _is_size(input):
        raise InputError(
            f"profile: input {shorten(first_line(input), 40)!r} must be (C, H, W), for example (3, 224, 224)"
        )
    if isinstance(model, nn.Module):
        spec = getattr(model, "spec", None)
        default = spec.input if isinstance(spec, (NetworkSpec, BaselineSpec)) else DEFAULT_INPUT
        channels, height, width = input or default
        return (channels, height, width), model, getattr(spec, "name", "") or type(model).__name__
    spec = with_input(model, input)
    return spec.input, build_network(spec, seed=0, pretrained=False), spec.name or type(spec).__name__


def _is_size(size: Any) -> bool:
    """Whether it is three whole numbers above 0."""
    sides = size if isinstance(size, tuple | list) else ()
    return len(sides) == 3 and all(type(side) is int and side > 0 for side in sides)


def _reason(error: ValueError) -> str:
    errors: Any = getattr(error, "errors", None)
    first: Mapping[str, Any] = errors(include_url=False)[0] if errors else {"msg": str(error)}
    return first_line(first["msg"])
