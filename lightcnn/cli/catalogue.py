"""What `lightcnn check` and `lightcnn list` answer: valid or not, and what is shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from lightcnn import document
from lightcnn.ablating.variants import Changes
from lightcnn.baseline_spec import BASELINES, BaselineSpec, PaperBaseline
from lightcnn.errors import DocumentError, Problem
from lightcnn.recipe import Recipe
from lightcnn.space import SearchSpace
from lightcnn.spec import NetworkSpec

DOCUMENT_KINDS: dict[str, type[BaseModel]] = {
    "spec": NetworkSpec,
    "space": SearchSpace,
    "recipe": Recipe,
    "baseline": BaselineSpec,
    "changes": Changes,
}
SCHEMAS = Path(__file__).parents[1] / "schemas"
DATASETS = {
    "digits": "1,797 scans of handwritten digits, 8×8, 10 classes (scikit-learn's); always there",
    "synthetic-lesions": "300 pictures drawn by code, 128×128, 2 classes, a stand-in; always there; for others "
    "synthetic-lesions:count=600,size=96,classes=4,seed=1,shortcut",
    "fashion-mnist": "Zalando's 70,000 pictures of clothes, 28×28, 10 classes; found on disk or downloaded",
    "cifar10": "60,000 photographs, 32×32, 10 classes, binary version; found on disk or downloaded",
    "mpox2025": "696 photographs of mpox and normal skin; found on disk, or downloaded with the extra mpox",
    "mpox2022": "photographs of mpox and five other classes; found on disk, or downloaded with the extra mpox",
    "FOLDER": "a folder of class folders, with or without train/, val/ and test/ above them",
    "FILE.csv": "path,label[,group][,split], a line an image, paths relative to the file",
    "FILE.npz": "train_images, train_labels[, val_..., test_...]: MedMNIST's layout",
}


def check_file(file: Path) -> dict[str, Any]:
    """`{file, kind, errors}` of one document; the kind is told from its keys."""
    kind = "unknown"
    try:
        text = document.read_text(file)
        kind = kind_of(document.keys(text, str(file)))
        if kind == "unknown":
            raise DocumentError(
                [
                    Problem(
                        str(file),
                        "",
                        f"none of its keys belongs to a {', '.join(DOCUMENT_KINDS)}; see `lightcnn list schemas`",
                    )
                ]
            )
        document.parse(DOCUMENT_KINDS[kind], text, str(file))
    except DocumentError as error:
        return {"file": str(file), "kind": kind, "errors": [str(problem) for problem in error.problems]}
    return {"file": str(file), "kind": kind, "errors": []}


def kind_of(keys: set[str]) -> str:
    """One of `KINDS` or unknown: the kind that knows most of the keys at the top of a document."""
    known = {kind: len(keys & model.model_fields.keys() - {"name"}) for kind, model in DOCUMENT_KINDS.items()}
    best = max(known, key=lambda kind: known[kind])
    return best if known[best] else "unknown"


def shipped_items(what: str) -> list[dict[str, str]]:
    """`{name, about, file}` of everything shipped of one kind; data sets and baselines have no file."""
    if what == "datasets":
        return [{"name": name, "about": about} for name, about in DATASETS.items()]
    if what == "baselines":
        return [{"name": name, "about": _described(entry)} for name, entry in BASELINES.items()]
    if what == "schemas":
        return [
            {"name": name, "about": f"JSON Schema of a {name}", "file": str(SCHEMAS / f"{name}.json")}
            for name in DOCUMENT_KINDS
        ]
    files = document.shipped({"spaces": "search_spaces"}.get(what, what))
    return [{"name": name, "about": _about(path), "file": str(path)} for name, path in files.items()]


def _described(entry: PaperBaseline) -> str:
    """A baseline in one line: the paper's name, timm's, and the parameters with the paper's head."""
    published = f"; the paper prints {entry.published:.2f} M" if entry.published else ""
    return f"{entry.title}, timm's {entry.timm}: {entry.total:,} parameters as Keras counts{published}"


def _about(path: Path) -> str:
    """The first sentence of the comment that a shipped file starts with, after the command that runs it."""
    lines = [
        line.lstrip("# ").rstrip() for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")
    ]
    return next((line for line in lines if line and not line.startswith(("lightcnn ", "yaml-language-server"))), "")
