"""`lightcnn.profile`: what one network costs, by every counter and by the clock; nothing of it changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from rich.table import Table
from torch import nn

from lightcnn.baseline_spec import AnySpec, BaselineSpec
from lightcnn.baselines import build_network
from lightcnn.counting.count import Count, count
from lightcnn.counting.layers import LayerRow
from lightcnn.errors import InputError
from lightcnn.measurement.latency import Latency, measure, torch_threads
from lightcnn.measurement.memory import ResidentMemory
from lightcnn.measurement.runtimes import timed_models
from lightcnn.profiling import columns, terminal
from lightcnn.spec import NetworkSpec, Shape
from lightcnn.text import first_line

DEFAULT_INPUT: Shape = (3, 224, 224)


@dataclass(frozen=True)
class Accuracy:
    """A share of right answers, and whose it is: a run's, a file's, or published and not ours."""

    value: float
    source: str


@dataclass(frozen=True, eq=False)
class Profile:
    """One network's costs. The first of `latencies` is the one that charts show; there may be none.

    `notes` are what must be known of how it was timed.
    """

    name: str
    source: str
    input: Shape
    count: Count
    latencies: tuple[Latency, ...] = ()
    resident: ResidentMemory | None = None
    accuracy: Accuracy | None = None
    notes: tuple[str, ...] = ()

    @property
    def layers(self) -> tuple[LayerRow, ...]:
        """One row a module that computes; they add up to `count`."""
        return self.count.layers

    def document(self) -> dict[str, Any]:
        """A row of report.json."""
        first = self.latencies[0] if self.latencies else None
        keys = ("median", "p95", "iqr", "runs", "threads", "runtime", "layout", "device", "unstable")
        return {
            "name": self.name,
            "source": self.source,
            "input": list(self.input),
            **self.count.document(),
            "notes": [*self.count.notes, *self.notes],
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
        """The paper's two: per cent of accuracy a megabyte of the Keras file, and a second of one inference."""
        percent = 100 * self.accuracy.value if self.accuracy else None
        seconds = self.latencies[0].median / 1000 if self.latencies else None
        return {
            "accuracy_per_megabyte": percent / (self.count.keras_adam_bytes / 1e6) if percent is not None else None,
            "accuracy_per_second": percent / seconds if percent is not None and seconds else None,
        }

    def __str__(self) -> str:
        return columns.markdown([self.document()], columns.useful_columns([self.document()]))

    def __rich__(self) -> Table:
        return terminal.table([self.document()], columns.useful_columns([self.document()]))

    def _repr_html_(self) -> str:
        return columns.html([self.document()], columns.useful_columns([self.document()]))


def profile(
    model: nn.Module | NetworkSpec | BaselineSpec,
    input: Shape | None = None,
    *,
    latency: bool = False,
    threads: int = 1,
) -> Profile:
    """The costs of any module, or of the network of a spec, for images of `input` (C, H, W); the model stays as it is.

    Without `input` a spec has its own and a module takes 3×224×224. `latency=True` also times it on the CPU for a few
    seconds. Raises: InputError where it cannot take the image or has no one count.
    """
    shape, module, name = _subject(model, input)
    with keep_random_state(), torch_threads(threads):
        counted = count(module, shape, file_notes(module))
        times: tuple[Latency, ...] = ()
        if latency:
            ready = timed_models(
                module, counted.pairs, shape, runtimes=("folded",), device=torch.device("cpu"), batch=1, threads=threads
            )
            times = tuple(measure(ready, seconds=3.0, threads=threads, progress=lambda *_: None))
    return Profile(name, "python", shape, counted, times)


def file_notes(model: nn.Module) -> dict[str, str] | None:
    """What stands in the file of a network of ours beside its tensors."""
    spec = getattr(model, "spec", None)
    if not isinstance(spec, (NetworkSpec, BaselineSpec)):
        return None
    return {"spec": spec.digest(), "stand_in": "false"}


def with_input(spec: AnySpec, input: Shape | None) -> AnySpec:
    """The spec for another input, checked anew. Raises: InputError."""
    if input is None or input == spec.input:
        return spec
    try:
        return type(spec).model_validate(dict(spec) | {"input": input})
    except ValueError as error:
        raise InputError(f"--input {'x'.join(map(str, input))}: {spec.name}: {_reason(error)}") from None


@contextmanager
def keep_random_state() -> Iterator[None]:
    """torch's random state as it was before, whatever a model drew."""
    with torch.random.fork_rng(devices=[]):
        yield


def _subject(model: nn.Module | AnySpec, input: Shape | None) -> tuple[Shape, nn.Module, str]:
    if isinstance(model, nn.Module):
        spec = getattr(model, "spec", None)
        own = spec.input if isinstance(spec, (NetworkSpec, BaselineSpec)) else DEFAULT_INPUT
        return input or own, model, getattr(spec, "name", "") or type(model).__name__
    spec = with_input(model, input)
    return spec.input, build_network(spec, seed=0, pretrained=False), spec.name or type(spec).__name__


def _reason(error: ValueError) -> str:
    details: Any = getattr(error, "errors", None)
    told: Mapping[str, Any] = details(include_url=False)[0] if details else {"msg": str(error)}
    return first_line(told["msg"])
