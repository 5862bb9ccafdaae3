"""`lightcnn explain`: images of files or of a test side explained one by one, and the run folder with all of it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from lightcnn.data.files.walk import Skipped
from lightcnn.devices import device_name
from lightcnn.errors import DataError, InputError, LightcnnError, RunError
from lightcnn.explaining.checks.checker import Checker
from lightcnn.explaining.checks.summary import sentence, summary
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.explanation import Explainer, Explanation, require_level, target_index
from lightcnn.explaining.figures.image_files import draw
from lightcnn.explaining.images.image import MaskFolder, Picture
from lightcnn.explaining.images.run_test_data import test_side
from lightcnn.explaining.images.selection import Selection, of_files, of_side
from lightcnn.explaining.methods.catalogue import MethodOptions, method
from lightcnn.explaining.methods.layer_choice import MapLayer, candidates, named
from lightcnn.explaining.page import explain_page
from lightcnn.explaining.results import Entry, Results, table
from lightcnn.explaining.resume import begin, begun_for, digests
from lightcnn.explaining.saved_explanations import load, save
from lightcnn.output.caveats import STAND_IN
from lightcnn.progress import Progress, no_progress
from lightcnn.run_folder import RunFolder
from lightcnn.text import visible
from lightcnn.trained_network import TrainedNetwork
from lightcnn.version import __version__

LEARNED = "STAND-IN: this network learned from pictures drawn by code. What it says tells nothing about photographs."
IMAGES = 24
"""Of a test side, where nobody says how many."""
NAMED = 3
"""Skipped images that an error names."""


@dataclass(frozen=True)
class Settings:
    """What is explained and how: at most `images` of a test side, for a `target` class or each predicted one."""

    methods: tuple[str, ...] = ("gradcam", "ig", "lime")
    target: str | None = None
    options: MethodOptions = field(default_factory=MethodOptions)
    checks: str = "quick"
    masks: Path | None = None
    data: str | None = None
    images: int = IMAGES
    batch: int | None = None
    device: str = "auto"
    data_dir: Path | None = None


class Work:
    """One `lightcnn explain`: checked when made, done by `conduct`; `done` images of `gallery.count` are explained."""

    def __init__(self, folder: Path, settings: Settings = Settings()) -> None:
        """Raises: InputError where the run, a method, the class or the layer cannot be used."""
        if folder.suffix.lower() == ".onnx" and not folder.is_dir():
            raise RunError(f"run {folder}: exported models are not explained yet; give the run folder it came from")
        level = require_level(settings.checks)
        self.settings = settings
        self.run = RunFolder.load(folder)
        methods = [method(name, settings.options) for name in dict.fromkeys(settings.methods)]
        trained = TrainedNetwork.load(self.run, device=settings.device)
        self.rule = trained.preprocess
        self.target = target_index(self.rule.classes, settings.target)
        self.explained = ExplainedNetwork.of(trained.model, self.rule, batch=settings.batch)
        if settings.options.layer is not None:
            named(self.layers(), settings.options.layer)
        checker = Checker(self.explained, level=level, seed=settings.options.seed)
        self.explainer = Explainer(self.explained, methods, checker)
        self.count = self.done = 0
        self.path = Path()

    def layers(self) -> list[MapLayer]:
        """What `--layers` lists, in the order they run."""
        blank = torch.zeros(1, self.rule.channels, self.rule.size, self.rule.size)
        return candidates(self.explained, self.explained.inputs(blank))

    def conduct(
        self,
        inputs: Sequence[Path] = (),
        *,
        out: str | Path | None = None,
        resume: bool = False,
        progress: Progress = no_progress,
        tell: Callable[[list[Entry]], None] = lambda entries: None,
    ) -> RunFolder:
        """Explains all `inputs`, or the test side, and returns the run folder; report.json is written last.

        With `resume` it goes on in the folder `out`, where what was explained stays. `tell` is called with the
        explanations of each image. Raises: InputError where nothing can be explained.
        """
        began = time.monotonic()
        self.path = Path(out) if out is not None else RunFolder.default_path("explain")
        asked = self._asked(inputs)
        held = begun_for(self.path, asked) if resume else None
        if held is None:
            RunFolder.require_free(self.path)
        gallery = self._gallery(inputs, progress)
        self.count = gallery.count
        done = held or begin(self.path, asked)
        with done.locked():
            try:
                self._write(done, gallery, began, progress, tell)
            except InputError:
                if held is None:  # nothing could be explained: nothing is lost with it
                    shutil.rmtree(done.path, ignore_errors=True)
                raise
        return done

    def _asked(self, inputs: Sequence[Path]) -> dict[str, Any]:
        """All that the maps and their numbers depend on, for a resume to be held against."""
        settings = self.settings
        told = {name: str(value) for name, value in (("masks", settings.masks), ("data", settings.data)) if value}
        return {
            **told,
            **digests(self.run),
            "images": [str(path) for path in inputs] or settings.images,
            "methods": [one.name for one in self.explainer.methods],
            "options": asdict(settings.options),
            "target": settings.target,
            "checks": settings.checks,
        }

    def _gallery(self, inputs: Sequence[Path], progress: Progress) -> Selection:
        settings = self.settings
        if inputs and settings.data is not None:
            raise InputError("--data: images are given already; give images, or the data whose test side is explained")
        masks = None if settings.masks is None else MaskFolder(settings.masks)
        if inputs:
            return of_files(inputs, self.rule, masks)
        side = test_side(self.run, self.rule, settings.data, settings.data_dir, progress)
        choice = {"most": settings.images, "seed": settings.options.seed}
        return of_side(side, self.explained, self.rule, masks, **choice, progress=progress)

    def _write(
        self,
        run: RunFolder,
        gallery: Selection,
        began: float,
        progress: Progress,
        tell: Callable[[list[Entry]], None],
    ) -> None:
        """The files of the run folder, an image's as soon as it is explained."""
        run.log(f"explain begins: {gallery.count:,} images")
        held = Results(self._warning(gallery))
        for number, picture in enumerate(gallery.pictures(), 1):
            if isinstance(picture, Skipped):
                held.skipped.append(picture)
            else:
                self._picture(run, number, picture, held, progress, tell)
            self.done = number
        held.require_some(self.count)
        pictures = held.overview_pictures() if gallery.data else {}
        seconds = time.monotonic() - began + held.seconds_before
        report = self._report(gallery, held, pictures) | {"seconds": round(seconds, 3)}
        for name, content in pictures.items():
            run.write_bytes(name, content)
        run.write_bytes("explanations.csv", table(report["explanations"]))
        run.write_bytes("report.html", explain_page(report, pictures, held.panels))
        run.log(f"explained {report['counts']['explained']:,}, skipped {len(held.skipped):,}")
        run.write_json("report.json", report)

    def _picture(
        self,
        run: RunFolder,
        number: int,
        picture: Picture,
        held: Results,
        progress: Progress,
        tell: Callable[[list[Entry]], None],
    ) -> None:
        """Explains a picture, unless the run folder has its explanations."""
        before = load(run, number, picture)
        if before is not None:
            held.seconds_before += sum(one.seconds for one in before[0])
            tell(held.add(picture, *before))
            return
        failures = len(held.failures)
        found = self._explained(picture, held, progress)
        if isinstance(found, Skipped):
            held.skipped.append(found)
        elif found:
            drawn = draw(number, picture, found, held.warning)
            if len(held.failures) == failures:
                save(run, number, picture, found, drawn)
            else:
                for name, content in drawn.files.items():
                    run.write_bytes(name, content)
            tell(held.add(picture, found, drawn))

    def _explained(self, picture: Picture, held: Results, progress: Progress) -> list[Explanation] | Skipped:
        """The explanations of a picture, without those of methods that failed."""
        methods = len(self.explainer.methods)

        def step(of_this: int) -> None:
            progress("explaining", self.done * methods + of_this, self.count * methods)

        step(0)
        inputs, seen = self.explained.inputs(picture.pixels[None]), picture.pixels.movedim(0, 2).numpy()
        try:
            found, failed = self.explainer(picture.name, inputs, seen, target=self.target, mask=picture.mask, step=step)
        except DataError as error:
            return Skipped(picture.name, str(error))
        held.failures += failed
        return found

    def _warning(self, gallery: Selection) -> str:
        """What is add_warning_bar on every figure; empty where network and images are of photographs."""
        if gallery.data is not None and gallery.data["stand_in"]:
            return STAND_IN
        return LEARNED if self.rule.stand_in else ""

    def _report(self, gallery: Selection, held: Results, pictures: Mapping[str, bytes]) -> dict[str, Any]:
        """report.json, but for the seconds."""
        settings = self.settings
        rows = summary(held.entries)
        return {
            "lightcnn": __version__,
            "command": "explain",
            "seed": settings.options.seed,
            "data": gallery.data,
            "network": self.run.report.get("network"),
            "run": str(self.run.path),
            "classes": list(self.rule.classes),
            "methods": [one.name for one in self.explainer.methods],
            "options": asdict(settings.options),
            "target": settings.target,
            "checks": settings.checks,
            "device": device_name(self.explained.device),
            "warning": held.warning,
            "counts": held.counts() | {"available": gallery.available, "passed_over": gallery.passed_over},
            "explanations": held.entries,
            "skipped": [{"image": one.image, "reason": one.reason} for one in held.skipped],
            "failures": [{"image": one.image, "method": one.method, "error": str(one.error)} for one in held.failures],
            "summary": rows,
            "sentence": sentence(rows),
            "plots": sorted(pictures),
            "notes": [
                *held.notes(masked=settings.masks is not None),
                *filter(None, [gallery.note, self.explained.batch.note]),
            ],
        }


def require_complete(report: Mapping[str, Any]) -> None:
    """Raises: LightcnnError where images were skipped or methods failed; it names the first."""
    said = []
    if skipped := report["skipped"]:
        count = len(skipped) + report["counts"]["explained"]
        shown = "; ".join(f"{one['image']} {one['reason']}" for one in skipped[:NAMED])
        more = "; and more" if len(skipped) > NAMED else ""
        said.append(f"{len(skipped):,} of {count:,} images were skipped: {shown}{more}")
    if failures := report["failures"]:
        methods = ", ".join(dict.fromkeys(one["method"] for one in failures))
        said.append(
            f"{methods} could not explain {len({one['image'] for one in failures}):,} images: {failures[0]['error']}"
        )
    if said:
        raise LightcnnError(visible(f"explain: {'; '.join(said)}"))
