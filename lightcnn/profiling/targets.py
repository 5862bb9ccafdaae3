"""What is profiled: targets as people type them, and the paper's networks, each with what is known of its accuracy.

A name that means nothing is refused before any work. A file that cannot be read, or a network that cannot take the
input, becomes a row that failed: the others go on.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from lightcnn import document
from lightcnn.baseline_spec import BASELINES, TIMM_PREFIX, AnySpec, BaselineSpec, load_network
from lightcnn.baselines import build_network, configuration
from lightcnn.counting.count import Count, count
from lightcnn.errors import InputError, LightcnnError
from lightcnn.measurement.latency import TimedModel
from lightcnn.measurement.memory import ResidentMemory, file_memory, spec_memory
from lightcnn.measurement.runtimes import timed_file, timed_models
from lightcnn.onnxfiles.count import count_graph
from lightcnn.onnxfiles.extra import require_onnx
from lightcnn.onnxfiles.read import read_graph
from lightcnn.profiling.profile import Accuracy, Profile, file_notes, with_input
from lightcnn.recipe import Recipe
from lightcnn.run_folder import RunFolder
from lightcnn.spec import Shape
from lightcnn.text import nearest

PAPER_NETWORK = "micrompoxnet"
PUBLISHED_ACCURACIES = {
    "micrompoxnet": 0.9999, "xception": 1.0, "efficientnet_b3": 0.9998, "efficientnet_b5": 1.0, "convnext_tiny": 1.0,
}  # fmt: skip
"""What MicroMPoxNet's paper prints (doi:10.1016/j.bspc.2026.110404; Adam, two classes, augmented before the split)."""
PUBLISHED_SOURCE = "published, not ours"
ONNX_SUFFIX = ".onnx"


@dataclass(frozen=True)
class Target:
    """A network to be profiled, from a spec or an ONNX file, or why it cannot be. `input` is what was asked for."""

    name: str
    source: str
    spec: AnySpec | None = None
    file: Path | None = None
    input: Shape | None = None
    accuracy: Accuracy | None = None
    failure: str | None = None

    def profile(self) -> Profile:
        """What it costs, without times. Raises: LightcnnError."""
        shape, counted = self._counted()
        return Profile(self.name, self.source, shape, counted, accuracy=self.accuracy)

    def candidates(
        self, counted: Count, *, runtimes: Sequence[str], device: torch.device, batch: int, threads: int
    ) -> list[TimedModel]:
        """Ready to be timed: a spec's network by each runtime, a file by ONNX Runtime. Raises: LightcnnError."""
        if self.file is not None:
            return [timed_file(read_graph(self.file, self.input), batch=batch, threads=threads)]
        spec = self._spec()
        model = build_network(spec, seed=0, pretrained=False)
        return timed_models(
            model, counted.pairs, spec.input, runtimes=runtimes, device=device, batch=batch, threads=threads
        )

    def resident(self, threads: int) -> ResidentMemory:
        """The memory that a fresh process holds. Raises: LightcnnError."""
        if self.file is not None:
            return file_memory(self.file, read_graph(self.file, self.input), threads=threads)
        return spec_memory(self._spec(), threads=threads)

    def _counted(self) -> tuple[Shape, Count]:
        if self.file is not None:
            graph = read_graph(self.file, self.input)
            return graph.input, count_graph(graph)
        spec = self._spec()
        with torch.device("meta"):
            model = build_network(spec, pretrained=False)
        return spec.input, count(model, spec.input, file_notes(model))

    def _spec(self) -> AnySpec:
        if self.spec is None:
            raise LightcnnError(self.failure or f"{self.name}: no network")
        return self.spec


def find_targets(
    targets: Sequence[str], *, baselines: bool, input: Shape | None, accuracies: Mapping[str, float]
) -> list[Target]:
    """The targets, and with `baselines` or without targets the paper's network and the 11 it was compared with.

    Raises: InputError for a name that means nothing.
    """
    found = [_subject(target, input) for target in targets]
    if baselines or not targets:
        found += [_paper(input), *(_baseline(name, input) for name in BASELINES)]
    found = _told_apart(found)
    unknown = [name for name in accuracies if name not in {one.name for one in found}]
    if unknown:
        names = [one.name for one in found]
        raise InputError(f"--accuracy: {unknown[0]}: no such row{nearest(unknown[0], names)}; rows: {', '.join(names)}")
    return [_judged(one, accuracies) for one in found]


def _told_apart(found: Sequence[Target]) -> list[Target]:
    """Each under a name of its own: a second one of a name gets a number."""
    held: Counter[str] = Counter()
    apart = []
    for one in found:
        held[one.name] += 1
        apart.append(one if held[one.name] == 1 else replace(one, name=f"{one.name} ({held[one.name]})"))
    return apart


def read_accuracies(path: Path) -> dict[str, float]:
    """`name,accuracy` of a CSV, shares from 0 to 1. Raises: InputError."""
    rows = csv.DictReader(document.read_text(path).splitlines())
    if not {"name", "accuracy"} <= set(rows.fieldnames or ()):
        raise InputError(
            f"{path}: needs the columns name and accuracy; it has {', '.join(rows.fieldnames or ['none'])}"
        )
    found = {}
    for number, row in enumerate(rows, 2):
        try:
            value = float(row["accuracy"] or "")
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1:
            raise InputError(f"{path}:{number}: accuracy {row['accuracy']!r} is no share; give a number from 0 to 1")
        found[row["name"] or ""] = value
    return found


def _subject(target: str, input: Shape | None) -> Target:
    path = Path(target)
    if path.is_dir():
        return _of_run(path, input)
    if path.suffix.lower() == ONNX_SUFFIX and path.is_file():
        require_onnx(target)
        return Target(path.stem, f"file {target}", file=path, input=input)
    if path.is_file():
        return _safely(path.stem, f"file {target}", lambda: _document(path), input)
    if target in document.shipped("recipes"):
        return _safely(target, f"recipe {target}", lambda: Recipe.load(target).network, input)
    name = target.removeprefix(TIMM_PREFIX)
    unknown = _unknown_to_timm(name)
    if not unknown:
        return _safely(f"{TIMM_PREFIX}{name}", "timm's own", lambda: _timm(name), input)
    if target in BASELINES:
        return _baseline(target, input)
    names = [*document.shipped("recipes"), *BASELINES]
    if target.endswith((".yaml", ".yml", ONNX_SUFFIX)) or "/" in target:
        raise InputError(f"{target}: no such file or folder")
    near = nearest(target, names)
    raise InputError(f"{target}: no recipe, baseline, file or run folder{near}; {unknown}")


def _of_run(path: Path, input: Shape | None) -> Target:
    run = RunFolder.load(path)
    run.require("spec.yaml")
    found = _safely(path.name or str(path), f"run {path}", lambda: load_network(run / "spec.yaml"), input)
    value = _tested(run.report)
    return found if value is None else replace(found, accuracy=Accuracy(value, f"run {path}, test side"))


def _tested(report: Mapping[str, object]) -> float | None:
    """Test accuracy of a training's or a search's report."""
    for route in (("metrics", "test", "accuracy", "value"), ("best", "test", "accuracy", "mean")):
        found: object = report
        for key in route:
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, (int, float)):
            return float(found)
    return None


def _document(path: Path) -> AnySpec:
    text = document.read_text(path)
    if "network" in document.keys(text, str(path)):
        return Recipe.load(str(path)).network
    return load_network(path)


def _timm(name: str) -> BaselineSpec:
    """timm's own network, with as many classes and as large an image as its weights have."""
    known = configuration(name)
    channels, height, width = known.input_size
    return BaselineSpec(
        baseline=f"{TIMM_PREFIX}{name}",
        input=(channels, height, width),
        classes=max(2, known.num_classes),
        head="own",
        dropout=0.0,
    )


def _unknown_to_timm(name: str) -> str:
    """What timm's names say of one that is none of them; '' for one that is."""
    try:
        configuration(name)
    except InputError as error:
        return str(error).removeprefix("network.baseline: ")
    return ""


def _paper(input: Shape | None) -> Target:
    return _safely(
        PAPER_NETWORK, "the paper's network, reconstructed", lambda: Recipe.load(PAPER_NETWORK).network, input
    )


def _baseline(name: str, input: Shape | None) -> Target:
    spec = BaselineSpec(baseline=name, classes=2, sigmoid=True)
    return _safely(name, f"timm:{spec.timm}, the paper's head", lambda: spec, input)


def _safely(name: str, source: str, load: Callable[[], AnySpec], input: Shape | None) -> Target:
    """The subject of a spec, or a row that failed."""
    try:
        return Target(name, source, with_input(load(), input))
    except LightcnnError as error:
        return Target(name, source, failure=str(error))


def _judged(found: Target, accuracies: Mapping[str, float]) -> Target:
    """With the accuracy of the file, else a run's own, else the paper's for its networks."""
    if found.name in accuracies:
        return replace(found, accuracy=Accuracy(accuracies[found.name], "file"))
    papers = found.source.endswith(("the paper's head", "reconstructed", f"recipe {PAPER_NETWORK}"))
    if found.accuracy is None and papers and found.name in PUBLISHED_ACCURACIES:
        return replace(found, accuracy=Accuracy(PUBLISHED_ACCURACIES[found.name], PUBLISHED_SOURCE))
    return found
