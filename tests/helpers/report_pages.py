"""A small run of every command that writes a page, on classes and files with untrusted names."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightcnn.cli.main import run
from lightcnn.data.sources.lesion_painter import paint_lesions

CLASSES = ('<img src=x onerror="document.title=1">', "normal & {{7*7}} \u202eskin")
"""Names that a page must show as text."""
RECIPE = """\
name: tiny
data: photos
network:
  input: [3, 16, 16]
  stem: [{kind: conv, width: 8, stride: 2}]
  stages: [{kind: mbconv, width: 8, expand: 2.0, se: 0.25}, {kind: residual, body: [{kind: separable, width: 12}]}]
  classes: 2
training: {epochs: 2, batch: 16}
"""
COMMANDS = {
    "train": "train recipe.yaml --out train",
    "pooled": "train recipe.yaml --folds 2 --out pooled",
    "search": "search --data photos --budget 100kFLOPs --trials 2 --epochs 2 --workers 1 --fast --out search",
    "audit": "audit dirty --out audit",
    "compare": "compare train other --out compare",
    "ablate": "ablate recipe.yaml --over changes.yaml --epochs 1 --fast --out ablate",
    "profile": "profile train quick --input 3x32x32 --no-latency --out profile",
    "explain": "explain train --images 1 --method gradcam,occlusion --checks quick --out explain",
    "export": "export train --to pt2 --out export",
    "index": "list runs . --html index.html",
}
"""The command that writes each kind of page."""


def write_pages(root: Path) -> dict[str, Path]:
    """Runs all commands in the folder `root`; returns the page of each."""
    lesions = paint_lesions(count=60, size=24)
    for index, image in enumerate(lesions.images):
        file = root / "photos" / CLASSES[lesions.labels[index]] / f"<b>p{index:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(image)).save(file)
    (root / "recipe.yaml").write_text(RECIPE)
    (root / "changes.yaml").write_text("changes: {wide: {network.stem.0.width: 16}}\n")
    shutil.copytree(root / "photos", root / "dirty")
    first, second = (sorted((root / "dirty" / name).iterdir()) for name in CLASSES)
    shutil.copy(first[0], second[0])
    first[1].write_bytes(b"no image")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for kind, command in COMMANDS.items():
            if kind == "compare":
                shutil.copytree("train", "other")
            assert run([*command.split(), "--quiet"]) == 0, kind
    return {kind: root / ("index.html" if kind == "index" else f"{kind}/report.html") for kind in COMMANDS}
