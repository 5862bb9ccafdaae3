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
from lightcnn.baselines import Baseline, build_network, configuration
from lightcnn.checking import kind_of
from lightcnn.errors import InputError, LightcnnError
from lightcnn.network import Network
from lightcnn.profiling.profile import Accuracy, AnySpec, with_input
from lightcnn.recipe import Recipe
from lightcnn.run import Run
from lightcnn.spec import Shape
from lightcnn.transfer import BASELINES, PREFIX, BaselineSpec, load_network

PAPER = "micrompoxnet"
PUBLISHED = {
    "micrompoxnet": 0.9999, "xception": 1.0, "efficientnet_b3": 0.9998, "efficientnet_b5": 1.0, "convnext_tiny": 1.0,
}  # fmt: skip
"""What MicroMPoxNet's paper prints (doi:10.1016/j.bspc.2026.110404; Adam, two classes, augmented before the split)."""
NOT_OURS = "published, not ours"


@dataclass(frozen=True)
class Subject:
    """A network to be profiled, or why it cannot be."""

    name: str
    source: str
    spec: AnySpec | None = None
    accuracy: Accuracy | None = None
    failure: str | None = None

    def build(self, *, values: bool) -> Network | Baseline:
        """The network, with random weights or of shapes alone. Raises: LightcnnError."""
        if self.spec is None:
            raise LightcnnError(self.failure or f"{self.name}: no network")
        if values:
            return build_network(self.spec, seed=0, pretrained=False)
        with torch.device("meta"):
            return build_network(self.spec, pretrained=False)


def subjects(
    targets: Sequence[str], *, baselines: bool, input: Shape | None, accuracies: Mapping[str, float]
) -> list[Subject]:
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
        raise InputError(
            f"--accuracy: {unknown[0]}: no such row{document.nearest(unknown[0], names)}; rows: {', '.join(names)}"
        )
    return [_judged(one, accuracies) for one in found]


def _told_apart(found: Sequence[Subject]) -> list[Subject]:
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


def _subject(target: str, input: Shape | None) -> Subject:
    path = Path(target)
    if target.endswith(".onnx"):
        raise InputError(f"{target}: ONNX files are not profiled yet; they are going to need the extra onnx")
    if path.is_dir():
        return _of_run(path, input)
    if path.is_file():
        return _safely(path.stem, f"file {target}", lambda: _document(path), input)
    if target in document.shipped("recipes"):
        return _safely(target, f"recipe {target}", lambda: Recipe.load(target).network, input)
    name = target.removeprefix(PREFIX)
    if _timm_has(name):
        return _safely(f"{PREFIX}{name}", "timm's own", lambda: _timm(name), input)
    if target in BASELINES:
        return _baseline(target, input)
    names = [*document.shipped("recipes"), *BASELINES]
    if target.endswith((".yaml", ".yml")) or "/" in target:
        raise InputError(f"{target}: no such file or folder")
    configuration_error = _timm_error(name)
    near = document.nearest(target, names)
    raise InputError(f"{target}: no recipe, baseline, file or run folder{near}; {configuration_error}")


def _of_run(path: Path, input: Shape | None) -> Subject:
    run = Run.load(path)
    run.demand("spec.yaml")
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
    if kind_of(document.keys(text, str(path))) == "recipe":
        return Recipe.load(str(path)).network
    return load_network(path)


def _timm(name: str) -> BaselineSpec:
    """timm's own network, with as many classes and as large an image as its weights have."""
    known = configuration(name)
    channels, height, width = known.input_size
    return BaselineSpec(
        baseline=f"{PREFIX}{name}",
        input=(channels, height, width),
        classes=max(2, known.num_classes),
        head="own",
        dropout=0.0,
    )


def _timm_has(name: str) -> bool:
    try:
        configuration(name)
    except InputError:
        return False
    return True


def _timm_error(name: str) -> str:
    try:
        configuration(name)
    except InputError as error:
        return str(error).removeprefix("network.baseline: ")
    return ""


def _paper(input: Shape | None) -> Subject:
    return _safely(PAPER, "the paper's network, reconstructed", lambda: Recipe.load(PAPER).network, input)


def _baseline(name: str, input: Shape | None) -> Subject:
    spec = BaselineSpec(baseline=name, classes=2, sigmoid=True)
    return _safely(name, f"timm:{spec.timm}, the paper's head", lambda: spec, input)


def _safely(name: str, source: str, load: Callable[[], AnySpec], input: Shape | None) -> Subject:
    """The subject of a spec, or a row that failed."""
    try:
        return Subject(name, source, with_input(load(), input))
    except LightcnnError as error:
        return Subject(name, source, failure=str(error))


def _judged(found: Subject, accuracies: Mapping[str, float]) -> Subject:
    """With the accuracy of the file, else a run's own, else the paper's for its networks."""
    if found.name in accuracies:
        return replace(found, accuracy=Accuracy(accuracies[found.name], "file"))
    papers = found.source.endswith(("the paper's head", "reconstructed", f"recipe {PAPER}"))
    if found.accuracy is None and papers and found.name in PUBLISHED:
        return replace(found, accuracy=Accuracy(PUBLISHED[found.name], NOT_OURS))
    return found
