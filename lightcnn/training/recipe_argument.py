"""From the RECIPE argument and the options of `lightcnn train` to a recipe. No torch.

RECIPE is a recipe file, the name of a shipped recipe, a run folder, the name of a baseline, or a file with a network
alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from lightcnn import document, overrides
from lightcnn.baseline_spec import BASELINES, TIMM_PREFIX, as_baseline, load_network
from lightcnn.document import Frozen, Model
from lightcnn.errors import InputError, RunError
from lightcnn.output.warnings import ReportWarning, WarningCode
from lightcnn.overrides import Override
from lightcnn.recipe import PRESETS, RECIPE_FILE, Recipe, with_teacher_beside
from lightcnn.recipe_defaults import default_augment, default_epochs, default_training, fitted_batch
from lightcnn.run_folder import DATA_FILE, RunFolder

ADAPTED: tuple[WarningCode, ...] = ("network_adapted", "batch_adapted")
"""Warnings of what a recipe took from its data, which data.json keeps for a resumed run."""
Followed = Literal["classes", "channels", "positive", "batch"]
"""What a recipe takes from its data unless it is set: two values of its network, the positive class, and the largest
batch size that is not more than its default."""


@dataclass(frozen=True)
class RecipeDraft:
    """A recipe whose data have not been read.

    `bare`: a network alone, whose training depends on its data. `follows`: what is taken from the data.
    `classes` and `adapted`: those of the run that is resumed, in order, and its warnings that the network was adapted.
    """

    recipe: Recipe
    bare: bool = False
    changes: Sequence[Override] = field(default=())
    follows: Sequence[Followed] = field(default=())
    classes: Sequence[str] = field(default=())
    adapted: Sequence[ReportWarning] = field(default=())

    def resolved(
        self, source: str, channels: int, images: int, *, classes: int | None = None, positive: str | None = None
    ) -> Recipe:
        """The recipe for data of `source` with `channels` channels, `images` training images, classes, a positive one.

        Raises: DocumentError.
        """
        recipe, data = self.recipe, _plain(self.recipe)
        if self.bare:
            data |= {
                "augment": _plain(default_augment(channels, images)),
                "training": _plain(default_training(default_epochs(images), images)),
            }
        if "classes" in self.follows and classes is not None:
            _set_classes(data["network"], classes)
        if "channels" in self.follows:
            data["network"]["input"][0] = channels
        if "batch" in self.follows:
            data["training"]["batch"] = fitted_batch(data["training"]["batch"], images)
        if self.bare or self.follows:
            recipe = overrides.validate(Recipe, data, "spec", self.changes)
        reading = recipe.reading.model_copy(update={"positive": positive})
        return recipe.model_copy(update={"data": source, "reading": reading})


def read_recipe_argument(name: str | Path, changes: Sequence[Override] = ()) -> RecipeDraft:
    """Reads RECIPE and applies the changes; a baseline or a spec.yaml needs `--data` in the changes.

    Raises: InputError, DocumentError.
    """
    if _names_baseline(str(name)):
        return _bare_draft({"baseline": str(name), "classes": 2}, str(name), str(name), changes)
    file = _find(name)
    text = document.read_text(file)
    keys = document.keys(text, str(file))
    if "network" in keys or not keys & {"stages", "baseline"}:
        recipe = _read_changed(Recipe, text, str(file), changes)
        if not any(change.path in (("distill",), ("distill", "teacher")) for change in changes):
            recipe = with_teacher_beside(recipe, file)
        follows = _follows(changes) if _has_default_batch(recipe, file) else _follows(changes, without="batch")
        if _data_change(changes) is None:
            follows = tuple(name for name in follows if name == "batch" and not _is_of_run(file))
            return RecipeDraft(_with_positive_of_run(recipe, file), follows=follows)
        return RecipeDraft(recipe, follows=follows)
    network = load_network(file)
    return _bare_draft(_plain(network), network.name, str(file), changes)


def continued(draft: RecipeDraft, run: RunFolder | None) -> RecipeDraft:
    """The draft with what data.json of the resumed run states beside its recipe; unchanged for a new run."""
    if run is None:
        return draft
    entries = run.read_json(DATA_FILE).get("warnings") if (run / DATA_FILE).is_file() else None
    adapted = [
        ReportWarning(entry["code"], entry["message"], entry["count"])
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict) and entry.get("code") in ADAPTED
        and isinstance(entry.get("message"), str) and isinstance(entry.get("count"), int)
    ]  # fmt: skip
    return replace(draft, classes=run.classes, adapted=adapted)


def _names_baseline(name: str) -> bool:
    return (name in BASELINES or name.startswith(TIMM_PREFIX)) and not Path(name).exists()


def _find(name: str | Path) -> Path:
    """The file of a recipe; that of a run if `name` is a folder. Raises: InputError."""
    if not Path(name).is_dir():
        return document.find("recipes", str(name))
    file = RunFolder.load(name) / RECIPE_FILE
    if not file.is_file():
        raise RunError(f"run {name}: has no {RECIPE_FILE}; name the run of a command that trains")
    return file


def _bare_draft(network: dict[str, Any], name: str, file: str, changes: Sequence[Override]) -> RecipeDraft:
    """A network alone, whose data are named by the changes. Raises: InputError, DocumentError."""
    source = _data_change(changes)
    if source is None:
        raise InputError(f"{file}: a network without data; name the data set to train on, for example --data digits")
    bare = {"name": name.removeprefix(TIMM_PREFIX), "data": source, "network": network}
    _insert_baseline(bare, changes)
    recipe = overrides.validate(Recipe, bare, file, changes)
    return RecipeDraft(recipe, bare=True, changes=tuple(changes), follows=_follows(changes))


def _data_change(changes: Sequence[Override]) -> Any:
    return next((change.value for change in changes if change.path == ("data",)), None)


def _follows(changes: Sequence[Override], *, without: str = "") -> tuple[Followed, ...]:
    """What the recipe takes from its data, because no change sets it."""
    keys: dict[Followed, tuple[str, str]] = {
        "classes": ("network", "classes"), "channels": ("network", "input"), "positive": ("reading", "positive"),
        "batch": ("training", "batch"),
    }  # fmt: skip
    paths = {change.path[:2] for change in changes}
    return tuple(name for name, key in keys.items() if name != without and not paths & {key[:1], key})


def _has_default_batch(recipe: Recipe, file: Path) -> bool:
    """Whether the user has not written the batch size: it is left out, or that of a shipped recipe or of a run."""
    is_shipped = file in document.shipped("recipes").values()
    return is_shipped or _is_of_run(file) or "batch" not in recipe.training.model_fields_set


def _is_of_run(file: Path) -> bool:
    return file.name == RECIPE_FILE and (file.parent / "environment.json").is_file()


def _set_classes(network: dict[str, Any], classes: int) -> None:
    """Sets the number of classes; a single logit is for two classes only."""
    network["classes"] = classes
    if classes != 2 and "baseline" in network:
        network["sigmoid"] = False
    elif classes != 2 and "head" in network:
        network["head"]["output"] = "softmax"


def _with_positive_of_run(recipe: Recipe, file: Path) -> Recipe:
    """The recipe with the positive class of the run that it is in, which an earlier version may not have written."""
    if recipe.reading.positive is not None or not _is_of_run(file):
        return recipe
    classes = RunFolder(file.parent).classes
    reading = recipe.reading.model_copy(update={"positive": classes[1] if len(classes) == 2 else None})
    return recipe.model_copy(update={"reading": reading})


def changed_recipe(recipe: Recipe, changes: Sequence[Override], file: str) -> Recipe:
    """The recipe with some values changed. Raises: InputError, DocumentError, which name the option of the value."""
    data = _plain(recipe)
    _insert_baseline(data, changes)
    return overrides.validate(Recipe, data, file, changes)


def differences(earlier: Frozen, later: Frozen) -> list[str]:
    """`key: earlier value in the run, later value given` for every value in which two recipes differ."""
    before, after = overrides.leaves(earlier), overrides.leaves(later)
    names = [*before, *(name for name in after if name not in before)]
    return [
        f"{name}: {_format_value(before, name)} in the run, {_format_value(after, name)} given"
        for name in names
        if before.get(name) != after.get(name)
    ]


def _format_value(values: dict[str, Any], name: str) -> str:
    return repr(values[name]) if name in values else "nothing"


def _read_changed(model: type[Model], text: str, file: str, changes: Sequence[Override]) -> Model:
    """The document with its changes applied.

    If a change sets one value of an augmentation preset, the preset is replaced with its values first. If a change
    names a baseline, it replaces the network.
    """
    data, lines = document.plain_data(text, file)
    if isinstance(data, dict) and any(change.path[:1] == ("augment",) and len(change.path) > 1 for change in changes):
        preset = data.get("augment")
        if isinstance(preset, str) and preset in PRESETS:
            data["augment"] = _plain(PRESETS[preset])
    _insert_baseline(data, changes)
    return overrides.validate(model, data, file, changes, lines)


def _insert_baseline(data: Any, changes: Sequence[Override]) -> None:
    """Replaces a recipe's network with the baseline that a change names, so that the other changes apply to it."""
    for change in changes:
        if change.path == ("network", "baseline") and isinstance(data, dict) and isinstance(data.get("network"), dict):
            data["network"] = as_baseline(data["network"], change.value)


def _plain(model: Frozen) -> dict[str, Any]:
    plain: dict[str, Any] = model.model_dump(mode="json")
    return plain
