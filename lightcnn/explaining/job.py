"""`lightcnn explain`: explains images of files or of a test set one by one, and writes a run folder."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from lightcnn.data.files.walk import Skipped
from lightcnn.errors import DataError, InputError
from lightcnn.explaining.explanation import Explanation
from lightcnn.explaining.figures.image_files import make_files
from lightcnn.explaining.images.image import ExplainedImage
from lightcnn.explaining.images.masks import MaskFolder
from lightcnn.explaining.images.selection import Selection, select_files
from lightcnn.explaining.page import explain_page
from lightcnn.explaining.progress import SILENT, ExplainProgress
from lightcnn.explaining.report import report_document, stand_in_warning
from lightcnn.explaining.results import Results, explanations_table
from lightcnn.explaining.saved_explanations import load, save
from lightcnn.explaining.settings import SETTINGS_FILE, ExplainSettings, require_same_settings
from lightcnn.explaining.setup.explain_setup import ExplainSetup
from lightcnn.explaining.setup.prepare import prepare
from lightcnn.run_folder import RunFolder, json_bytes


def run(
    settings: ExplainSettings,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    progress: ExplainProgress = SILENT,
) -> RunFolder:
    """Explains images and returns the run folder, in which report.json is written last.

    `out` is a new folder; by default one under runs/ is made. With `resume`, the run in `out` is continued: images that
    are explained already are not explained again.

    Raises: InputError if the settings cannot be used or no image can be explained.
    """
    began = time.monotonic()
    resumed = RunFolder.resumed(out, resume=resume, command="explain", settings=SETTINGS_FILE)
    setup = prepare(settings)
    document = settings.document(setup.digests)
    if resumed is not None:
        require_same_settings(resumed, document)
    selection = _select(settings, setup, progress)
    folder = resumed or RunFolder.create(out, "explain", {SETTINGS_FILE: json_bytes(document)})
    with folder.locked():
        try:
            _explain_all(settings, setup, selection, folder, began, progress)
        except InputError:
            if resumed is None:  # no image could be explained, so the new folder holds nothing of worth
                shutil.rmtree(folder.path, ignore_errors=True)
            raise
    return folder


def _select(settings: ExplainSettings, setup: ExplainSetup, progress: ExplainProgress) -> Selection:
    """The images to explain. Raises: InputError if there are none, or none has a mask."""
    masks = None if settings.masks is None else MaskFolder(settings.masks)
    if settings.inputs:
        return select_files(settings.inputs, setup.reading, masks)
    return setup.test_images(settings, masks, progress.step)


def _explain_all(
    settings: ExplainSettings,
    setup: ExplainSetup,
    selection: Selection,
    folder: RunFolder,
    began: float,
    progress: ExplainProgress,
) -> None:
    """Writes all files of the run folder, those of an image as soon as it is explained."""
    folder.log(f"explain begins: {selection.count:,} images")
    results = Results(stand_in_warning(selection.data, network_stand_in=setup.stand_in))
    for number, image in enumerate(selection.images(), 1):
        if isinstance(image, Skipped):
            results.skipped.append(image)
        else:
            _explain_image(setup, folder, number, image, results, selection.count, progress)
    results.require_any(selection.count)
    charts = results.overview_charts() if selection.data else {}
    seconds = time.monotonic() - began + results.seconds_before
    report = report_document(settings, setup, selection, results, charts) | {"seconds": round(seconds, 3)}
    for name, chart in charts.items():
        folder.write_bytes(name, chart.png)
    folder.write_bytes("explanations.csv", explanations_table(report["explanations"]))
    folder.write_bytes("report.html", explain_page(report, charts, results.images))
    folder.log(f"explained {report['counts']['explained']:,}, skipped {len(results.skipped):,}")
    folder.write_json("report.json", report)


def _explain_image(
    setup: ExplainSetup,
    folder: RunFolder,
    number: int,
    image: ExplainedImage,
    results: Results,
    count: int,
    progress: ExplainProgress,
) -> None:
    """Explains the image with that number of `count`, unless the run folder already has its explanations."""
    saved, evaluation = load(folder, number, image), setup.evaluation(image)
    if saved is not None:
        results.seconds_before += sum(explanation.seconds for explanation in saved[0])
        progress.explained(results.add(image, *saved, evaluation))
        return
    failures = len(results.failures)
    explanations = _explanations(setup, image, results, number, count, progress)
    if isinstance(explanations, Skipped):
        results.skipped.append(explanations)
    elif explanations:
        files = make_files(number, image, explanations, results.warning)
        if len(results.failures) == failures:
            save(folder, number, image, explanations, files)
        else:  # a resumed run tries the failed method again
            for name, content in files.contents.items():
                folder.write_bytes(name, content)
        progress.explained(results.add(image, explanations, files, evaluation))


def _explanations(
    setup: ExplainSetup, image: ExplainedImage, results: Results, number: int, count: int, progress: ExplainProgress
) -> list[Explanation] | Skipped:
    """The explanations of an image by all methods that did not fail; failures are added to `results`."""
    methods = len(setup.explainer.methods)

    def step(methods_done: int) -> None:
        progress.step("explaining", (number - 1) * methods + methods_done, count * methods)

    step(0)
    inputs = setup.explainer.network.inputs_of(image.seen)
    try:
        explanations, failed = setup.explainer(
            image.name, inputs, image.seen, target=setup.target, mask=image.mask, step=step
        )
    except DataError as error:
        return Skipped(image.name, str(error))
    results.failures += failed
    return explanations
