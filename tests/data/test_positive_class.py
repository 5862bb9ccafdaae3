"""Which of two classes is the positive one, by name or by choice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lightcnn.data.positive_class import default_positive, in_order, is_negative, positive_document
from lightcnn.data.sources.load import load
from lightcnn.errors import DataError
from lightcnn.recipe import Reading


@pytest.mark.parametrize(
    "name",
    ["normal", "NORMAL", "Healthy skin", "Others", "other", "benign_nevus", "tumor-negative", "Control", "background",
     "no_tumour", "No Finding", "non-mpox", "NonDemented", "without_crack"],
)  # fmt: skip
def test_names_that_state_that_nothing_was_found(name: str) -> None:
    assert is_negative(name)


@pytest.mark.parametrize(
    "name", ["abnormal", "Monkey_Pox", "malignant", "positive", "notch", "none_such", "nodule", "non-normal", "1", "否"]
)
def test_names_that_do_not(name: str) -> None:
    assert not is_negative(name)


@pytest.mark.parametrize(
    ("classes", "positive"),
    [
        (("Monkey_Pox", "Others"), "Monkey_Pox"),
        (("benign", "malignant"), "malignant"),
        (("dark", "bright"), "bright"),
        (("normal", "other"), "other"),
    ],
)
def test_the_other_class_of_a_negative_name_is_positive(classes: tuple[str, str], positive: str) -> None:
    assert default_positive(classes) == positive


@pytest.fixture
def source(tmp_path: Path) -> str:
    """Three images of mpox, whose pixels are 0 to 2, and two others of pixels 3 and 4."""
    images = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), dtype=np.uint8)
    labels, names = np.array([0, 0, 0, 1, 1]), np.array(["mpox", "others"])
    np.savez(tmp_path / "two.npz", train_images=images, train_labels=labels, class_names=names)
    return str(tmp_path / "two.npz")


def test_the_positive_class_is_the_second_and_keeps_its_images(source: str) -> None:
    before, after = load(source), load(source, Reading(positive="mpox"))
    assert (before.classes, before.labels.tolist()) == (("mpox", "others"), [0, 0, 0, 1, 1])
    assert (after.classes, after.labels.tolist()) == (("others", "mpox"), [1, 1, 1, 0, 0])
    assert after.pixel_hashes.tolist() == before.pixel_hashes.tolist()
    assert in_order(after, ("mpox", "others")).fingerprint == before.fingerprint
    assert in_order(after, ("mpox", "measles")) is after
    assert load(source, Reading(positive="others")).fingerprint == before.fingerprint


def test_a_positive_class_that_cannot_be_is_refused_in_one_line(source: str) -> None:
    with pytest.raises(DataError, match=r"'pox': data .* has no such class, but mpox, others; choose another class"):
        load(source, Reading(positive="pox"))
    with pytest.raises(DataError, match="does not have two classes"):
        load("digits", Reading(positive="3"))


def test_the_report_states_why() -> None:
    assert positive_document(("Others", "Monkey_Pox")) == {
        "class": "Monkey_Pox", "reason": "the name of the other class, Others, is that of a negative class"
    }  # fmt: skip
    assert positive_document(("Monkey_Pox", "Others")) == {
        "class": "Others",
        "reason": "chosen in the recipe or an earlier run, although its name is that of a negative class",
    }
    by_default = "by alphabetical order; name it with --positive"
    assert positive_document(("a", "b")) == {"class": "b", "reason": by_default}
    assert positive_document(("2", "10")) == {"class": "10", "reason": by_default}
    assert positive_document(("b", "a")) == {
        "class": "a", "reason": "chosen in the recipe or an earlier run, or the second class of the source"
    }  # fmt: skip
    assert positive_document(("a", "b", "c")) is None
