"""The networks to be profiled: targets as they are typed, and the paper's networks, with their accuracies if known.

A name that means nothing is refused before any work. A file that cannot be read, or a network that cannot take the
input, becomes a failed row; the other rows are not affected.
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
from lightcnn.counting.stages import stages as network_stages
from lightcnn.csv_files import unguard
from lightcnn.errors import InputError, LightcnnError
from lightcnn.image_size import parse_input
from lightcnn.measurement.latency import TimedModel
from lightcnn.measurement.memory import ResidentMemory, file_memory, spec_memory
from lightcnn.measurement.runtimes import timed_file, timed_models
from lightcnn.onnxfiles.extra import require_onnx
from lightcnn.onnxfiles.read import read_graph
from lightcnn.profiling.file_profile import file_profile
from lightcnn.profiling.profile import Accuracy, Profile, cost_on_device, file_notes, with_input
from lightcnn.recipe import Recipe
from lightcnn.run_folder import RunFolder
from lightcnn.spec import Shape
from lightcnn.text import nearest, visible

PAPER_NETWORK = "micrompoxnet"
PUBLISHED_ACCURACIES = {
    "micrompoxnet": 0.9999, "xception": 1.0, "efficientnet_b3": 0.9998, "efficientnet_b5": 1.0, "convnext_tiny": 1.0,
}  # fmt: skip
"""Accuracies in MicroMPoxNet's paper (doi:10.1016/j.bspc.2026.110404; Adam, 2 classes, augmented before the split)."""
PUBLISHED_SOURCE = "published, not ours"
ONNX_SUFFIX = ".onnx"


@dataclass(frozen=True)
class Target:
    """A network to be profiled, from a spec or an ONNX file, or the reason why it cannot be profiled (`failure`).

    `input` is the size (C, H, W) from the command line, if any; `source` is where the network is from.
    """

    name: str
    source: str
    spec: AnySpec | None = None
    file: Path | None = None
    input: Shape | None = None
    accuracy: Accuracy | None = None
    failure: LightcnnError | None = None

    def profile(self) -> Profile:
        """The costs of the network, without times. Raises: LightcnnError."""
        profile = self._profile()
        accuracy = profile.accuracy
        if accuracy is None or accuracy.input in (None, profile.input):
            return profile
        size = "×".join(map(str, accuracy.input))
        return replace(profile, accuracy=None, other_accuracy=f"{accuracy.value:.2%} at {size}")

    def timed_models(
        self, counts: Count, *, runtimes: Sequence[str], device: torch.device, batch: int, threads: int
    ) -> list[TimedModel]:
        """The network ready to be timed, in each runtime; a file only in ONNX Runtime. Raises: LightcnnError."""
        if self.file is not None:
            return [timed_file(read_graph(self.file, self.input), batch=batch, threads=threads)]
        spec = self._spec()
        model = build_network(spec, seed=0, pretrained=False)
        return timed_models(
            model, counts.pairs, spec.input, runtimes=runtimes, device=device, batch=batch, threads=threads
        )

    def memory(self, threads: int) -> ResidentMemory:
        """The peak memory of a new process that runs the network once. Raises: LightcnnError."""
        if self.file is not None:
            return file_memory(self.file, read_graph(self.file, self.input), threads=threads)
        return spec_memory(self._spec(), threads=threads)

    def _profile(self) -> Profile:
        """The same with an accuracy that may have been measured at another input size."""
        if self.file is not None:
            return file_profile(self.name, self.source, read_graph(self.file, self.input), self.accuracy)
        spec = self._spec()
        with torch.device("meta"):
            model = build_network(spec, pretrained=False)
        return Profile(
            self.name, self.source, spec.input, count(model, spec.input, file_notes(model)), accuracy=self.accuracy,
            stages=tuple(network_stages(spec, model)), device=cost_on_device(spec, spec.input),
        )  # fmt: skip

    def _spec(self) -> AnySpec:
        if self.spec is None:
            raise self.failure or LightcnnError(f"{self.name}: no network")
        return self.spec


def find_targets(
    targets: Sequence[str], *, baselines: bool, input: Shape | None, accuracies: Mapping[str, Accuracy]
) -> list[Target]:
    """The targets; with `baselines`, or without targets, also the paper's network and its 11 baselines.

    Raises: InputError if a target means nothing, or if a name in `accuracies` is not that of a target.
    """
    networks = [_target(target, input) for target in targets]
    if baselines or not targets:
        networks += [_paper(input), *(_baseline(name, input) for name in BASELINES)]
    networks = _with_unique_names([_printable(network) for network in networks])
    names = [network.name for network in networks]
    unknown = [name for name in accuracies if name not in names]
    if unknown:
        raise InputError(f"--accuracy: {unknown[0]}: no such row{nearest(unknown[0], names)}; rows: {', '.join(names)}")
    return [_with_accuracy(network, accuracies) for network in networks]


def _printable(target: Target) -> Target:
    """The target with a name and a source that can be printed and written to any file."""
    return replace(target, name=visible(target.name), source=visible(target.source))


def _with_unique_names(targets: Sequence[Target]) -> list[Target]:
    """The targets with a number behind each name that was used before."""
    uses: Counter[str] = Counter()
    unique = []
    for target in targets:
        uses[target.name] += 1
        number = uses[target.name]
        unique.append(target if number == 1 else replace(target, name=f"{target.name} ({number})"))
    return unique


def read_accuracies(path: Path) -> dict[str, Accuracy]:
    """The columns `name`, `accuracy` (0 to 1) and, if any, `input` (such as 3x224x224) of a CSV file.

    Raises: InputError.
    """
    rows = csv.DictReader(document.read_text(path).splitlines())
    if not {"name", "accuracy"} <= set(rows.fieldnames or ()):
        raise InputError(
            f"{path}: the columns name and accuracy are required; it has {', '.join(rows.fieldnames or ['none'])}"
        )
    accuracies = {}
    for number, row in enumerate(rows, 2):
        try:
            value = float(row["accuracy"] or "")
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1:
            raise InputError(f"{path}:{number}: accuracy {row['accuracy']!r} must be a number from 0 to 1")
        try:
            size = parse_input(row["input"]) if row.get("input") else None
        except InputError as error:
            raise InputError(f"{path}:{number}: input {error}") from None
        accuracies[unguard(row["name"] or "")] = Accuracy(value, "file", size)
    return accuracies


def _target(target: str, input: Shape | None) -> Target:
    """The network that a target means: a run folder, a file, a recipe, a name of timm or a baseline."""
    path = Path(target)
    if path.is_dir():
        return _from_run(path, input)
    if path.suffix.lower() == ONNX_SUFFIX and path.is_file():
        require_onnx(target)
        return Target(path.stem, f"file {target}", file=path, input=input)
    if path.is_file():
        return _load(path.stem, f"file {target}", lambda: _read_file(path), input)
    if target in document.shipped("recipes"):
        return _load(target, f"recipe {target}", lambda: Recipe.load(target).network, input)
    name = target.removeprefix(TIMM_PREFIX)
    timm_error = _timm_error(name)
    if not timm_error:
        return _load(f"{TIMM_PREFIX}{name}", "timm's own", lambda: _timm(name), input)
    if target in BASELINES:
        return _baseline(target, input)
    names = [*document.shipped("recipes"), *BASELINES]
    if target.endswith((".yaml", ".yml", ONNX_SUFFIX)) or "/" in target:
        raise InputError(f"{target}: no such file or folder")
    near = nearest(target, names)
    raise InputError(f"{target}: no recipe, baseline, file or run folder{near}; {timm_error}")


def _from_run(path: Path, input: Shape | None) -> Target:
    """The network of a run folder, with the accuracy on its test set if the run has one."""
    run = RunFolder.load(path)
    run.require("spec.yaml")
    name, source, value = path.name or str(path), f"run {path}", _test_accuracy(run.report)
    trained = _load(name, source, lambda: load_network(run / "spec.yaml"), None)
    target = _load(name, source, lambda: load_network(run / "spec.yaml"), input)
    if value is None or trained.spec is None:
        return target
    return replace(target, accuracy=Accuracy(value, f"run {path}, test set", trained.spec.input))


def _test_accuracy(report: Mapping[str, object]) -> float | None:
    """The test accuracy in the report of a training or a search; None if it has none."""
    for keys in (("metrics", "test", "accuracy", "value"), ("best", "test", "accuracy", "mean")):
        value: object = report
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, (int, float)) and 0 <= value <= 1:
            return float(value)
    return None


def _read_file(path: Path) -> AnySpec:
    """The network of a spec, baseline or recipe file."""
    text = document.read_text(path)
    if "network" in document.keys(text, str(path)):
        return Recipe.load(str(path)).network
    return load_network(path)


def _timm(name: str) -> BaselineSpec:
    """timm's own network, with the number of classes and the input size of its pretrained weights."""
    config = configuration(name)
    channels, height, width = config.input_size
    return BaselineSpec(
        baseline=f"{TIMM_PREFIX}{name}",
        input=(channels, height, width),
        classes=max(2, config.num_classes),
        head="own",
        dropout=0.0,
    )


def _timm_error(name: str) -> str:
    """Why timm does not have a network of this name; '' if it does."""
    try:
        configuration(name)
    except InputError as error:
        return str(error).removeprefix("network.baseline: ")
    return ""


def _paper(input: Shape | None) -> Target:
    return _load(PAPER_NETWORK, "the paper's network, reconstructed", lambda: Recipe.load(PAPER_NETWORK).network, input)


def _baseline(name: str, input: Shape | None) -> Target:
    spec = BaselineSpec(baseline=name, classes=2, sigmoid=True)
    return _load(name, f"timm:{spec.timm}, the paper's head", lambda: spec, input)


def _load(name: str, source: str, load: Callable[[], AnySpec], input: Shape | None) -> Target:
    """The target of a spec, or a target with the error as its `failure`."""
    try:
        return Target(name, source, with_input(load(), input))
    except LightcnnError as error:
        return Target(name, source, failure=error)


def _with_accuracy(target: Target, accuracies: Mapping[str, Accuracy]) -> Target:
    """The target with the accuracy of the file, else of its run, else of the paper if it is a network of the paper."""
    if target.name in accuracies:
        return replace(target, accuracy=accuracies[target.name])
    from_paper = target.source.endswith(("the paper's head", "reconstructed", f"recipe {PAPER_NETWORK}"))
    if target.accuracy is None and from_paper and target.name in PUBLISHED_ACCURACIES:
        spec = (
            Recipe.load(PAPER_NETWORK).network
            if target.name == PAPER_NETWORK
            else BaselineSpec(baseline=target.name, classes=2)
        )
        published = Accuracy(PUBLISHED_ACCURACIES[target.name], PUBLISHED_SOURCE, spec.input)
        return replace(target, accuracy=published)
    return target
