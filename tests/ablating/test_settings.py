"""The settings of an ablation, and the list of kinds of changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.paths import DOCS

from lightcnn import document
from lightcnn.ablating.settings import AblateSettings, make_settings
from lightcnn.ablating.variants import KINDS
from lightcnn.cli.ablate import OVER
from lightcnn.errors import InputError
from lightcnn.overrides import Override
from lightcnn.recipe import Recipe
from lightcnn.training.recipe_argument import RecipeDraft


def test_settings_survive_saving_and_loading(tmp_path: Path) -> None:
    changes = (Override("--set training.epochs", ("training", "epochs"), 3), Override("--seed", ("seed",), 1))
    draft = RecipeDraft(Recipe.load("quick"), bare=True, changes=changes)
    settings = make_settings(draft, ["architecture"], only=["no-se"], folds=3, seeds=2, device="cpu")
    document.save(settings, tmp_path / "ablate.yaml")
    assert document.load(AblateSettings, tmp_path / "ablate.yaml") == settings
    assert settings.draft == draft
    assert AblateSettings().draft is None


def test_the_help_and_the_documents_list_every_kind_of_change() -> None:
    page = (DOCS / "concepts" / "ablate.md").read_text(encoding="utf-8")
    contract = (DOCS / "reference" / "contract.md").read_text(encoding="utf-8")
    assert f"--over {'|'.join(KINDS)}|FILE" in contract
    assert all(f"| `{kind}` |" in page for kind in KINDS)
    assert all(kind in OVER for kind in KINDS)


def test_an_unknown_device_is_reported_in_one_line() -> None:
    with pytest.raises(
        InputError, match=r"^ablate: device: 'gpu' is not one of auto, cpu, cuda, mps; did you mean 'cpu'\?$"
    ):
        make_settings(RecipeDraft(Recipe.load("quick")), ["architecture"], device="gpu")  # type: ignore[arg-type]
