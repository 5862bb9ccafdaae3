"""The format `c`: quantizes a trained network, and writes it as C99 with a README."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.preprocess import Preprocess
from lightcnn.errors import InputError
from lightcnn.exporting import device
from lightcnn.exporting.c.number_types import number_types
from lightcnn.exporting.c.readme import readme
from lightcnn.exporting.c.source_files import CFacts, c_files
from lightcnn.exporting.subject import ExportedFormat, ExportSubject
from lightcnn.integer import reference
from lightcnn.integer.network import IntegerNetwork
from lightcnn.integer.post_training import quantize_network
from lightcnn.memory_plan import constant_bytes, flash_bytes, plan_memory
from lightcnn.program import program
from lightcnn.progress import Progress
from lightcnn.run_folder import RunFolder
from lightcnn.spec import NetworkSpec


def write(subject: ExportSubject, folder: Path, progress: Progress) -> ExportedFormat:
    """Writes the C of a network into an existing folder.

    Raises: InputError if it is a network of timm, if it has no training images, or if a layer is too large.
    """
    progress("quantizing", 0, 2)
    network = quantized(subject)
    progress("quantizing", 1, 2)
    preprocess = subject.preprocess
    facts = CFacts(preprocess.classes, preprocess.temperature, preprocess.threshold)
    sources = c_files(network, facts)
    sentence = preprocessing(preprocess)
    files = sources | {"README.md": readme(network, facts, sentence).encode()}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    progress("quantizing", 2, 2)
    return ExportedFormat(
        format="c",
        files=tuple(files),
        weight_bytes=sum(step.weights.nbytes + step.bias.nbytes for step in network.steps),
        preprocessing=sentence,
        probabilities=partial(reference.probabilities, network, temperature=preprocess.temperature),
        number_types=number_types(sources),
        emulate=partial(_emulate, network, sources, subject.run),
        details={
            "arena_bytes": plan_memory(network.program).arena_bytes,
            "constant_bytes": constant_bytes(network.program),
            "flash_bytes": flash_bytes(network.program),
        },
    )


def quantized(subject: ExportSubject) -> IntegerNetwork:
    """The network of a subject in int8, with the ranges of its training images. Raises: InputError."""
    spec, preprocess = subject.network.spec, subject.preprocess
    if not isinstance(spec, NetworkSpec):
        raise InputError(f"--to c: {spec.name} is a network of timm, whose layers the C lacks; use --to onnx-int8")
    if subject.training is None:
        raise InputError("--to c: the training images, which int8 needs for its ranges, cannot be read; give --data")
    return quantize_network(program(spec), subject.deployed.state_dict(), subject.training.images, preprocess)


def _emulate(
    network: IntegerNetwork, files: Mapping[str, bytes], run: RunFolder, target: str, images: NDArray[np.uint8]
) -> Mapping[str, Any]:
    expected, limits = reference.run(network, images), budget_limits(run.report)
    facts = device.check(
        files, target, images=images, expected=expected, flash=limits.get("flash_bytes"), ram=limits.get("arena_bytes")
    )
    return facts.document() | {"limits": limits}


def budget_limits(report: Mapping[str, Any]) -> dict[str, int]:
    """The limits of `flash_bytes` and `arena_bytes`, if any, in the `budget` of a report.json.

    Raises: InputError if a limit is not a positive number of bytes.
    """
    budget = report.get("budget")
    resources = budget if isinstance(budget, Mapping) else {}
    return {name: _upper(name, resources[name]) for name in ("flash_bytes", "arena_bytes") if name in resources}


def _upper(name: str, limit: Any) -> int:
    upper = limit.get("upper") if isinstance(limit, Mapping) else limit
    if isinstance(upper, bool) or not isinstance(upper, int) or upper < 1:
        raise InputError(
            f"report.json: budget.{name}.upper: must be a positive number of bytes, not {upper!r}; put back the file "
            "that the search wrote"
        )
    return upper


def preprocessing(preprocess: Preprocess) -> str:
    """What the caller does with an image before the C reads it, as a sentence."""
    steps = [
        *(["remove the background"] if preprocess.background != "none" else []),
        *({"crop": ["crop the middle square"], "pad": ["pad to a square with black"]}.get(preprocess.fit, [])),
        f"resize to {preprocess.size}×{preprocess.size} (bilinear, antialiased, rounded)",
        *([f"equalise with CLAHE (clip limit {preprocess.clahe:g})"] if preprocess.clahe else []),
    ]
    colours = "grey" if preprocess.channels == 1 else "RGB"
    text = f"{'; '.join(steps)}; give the {colours} pixels 0 to 255 and do not normalise them."
    return text[0].upper() + text[1:]
