"""Images that are given in Python."""

from __future__ import annotations

import html
import io
import re
import shutil
from collections.abc import Callable, Set
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import lightcnn
from lightcnn.data.files.decode import decode
from lightcnn.data.grouping.groups import check_groups, find_groups, groups_from_source
from lightcnn.data.grouping.near_duplicates import find_near_duplicates
from lightcnn.data.sources import arrays
from lightcnn.data.sources.arrays import given, read_arrays
from lightcnn.data.sources.load import load
from lightcnn.errors import DataError, InputError, LightcnnError
from lightcnn.recipe import Recipe

pytestmark = pytest.mark.usefixtures("undrawn_charts", "few_parts")

RANDOM = np.random.default_rng(0)
LABELS = np.arange(60) % 3
IMAGES = (RANDOM.integers(0, 60, (60, 8, 8)) + 80 * LABELS[:, None, None]).astype(np.uint8)
GROUPS = np.arange(60) // 2


class Pairs(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """A PyTorch data set that counts how often it is read."""

    def __init__(self, images: Any, labels: Any) -> None:
        self.images, self.labels, self.read = images, labels, 0

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        self.read += 1
        return self.images[index], self.labels[index]


def test_arrays_are_the_data_that_the_same_arrays_in_a_file_are(tmp_path: Path) -> None:
    np.savez(tmp_path / "file.npz", train_images=IMAGES, train_labels=LABELS)
    dataset, file = read_arrays((IMAGES, LABELS)), load(str(tmp_path / "file.npz"))
    assert dataset.fingerprint == file.fingerprint
    assert dataset.source == "arrays"
    assert dataset.classes == ("0", "1", "2")
    assert np.array_equal(np.stack(list(dataset.images))[..., 0], IMAGES)


@pytest.mark.parametrize(
    "images",
    [
        [Image.fromarray(image) for image in IMAGES],
        [torch.from_numpy(image) for image in IMAGES],
        list(IMAGES[..., None]),
    ],
    ids=["PIL", "tensors", "arrays"],
)
def test_a_data_set_of_pairs_is_read_once_in_order(images: Any) -> None:
    pairs = Pairs(images, [torch.tensor(label) for label in LABELS])
    dataset = read_arrays(pairs)
    assert pairs.read == len(LABELS)
    assert dataset.fingerprint == read_arrays((IMAGES, LABELS)).fingerprint


def test_images_of_pillow_are_upright() -> None:
    turned = [Image.fromarray(image) for image in IMAGES]
    for image in turned:
        image.getexif()[0x0112] = 6
    upright = np.rot90(IMAGES, -1, (1, 2))
    assert read_arrays(Pairs(turned, LABELS)).fingerprint == read_arrays((upright, LABELS)).fingerprint


def test_texts_are_classes_in_alphabetical_order_and_integers_in_ascending_order() -> None:
    texts = read_arrays((IMAGES, np.array(["mole", "burn", "acne"])[LABELS]))
    assert texts.classes == ("acne", "burn", "mole")
    assert texts.labels[:3].tolist() == [2, 1, 0]
    numbers = read_arrays((IMAGES, np.array([10, 9, -1])[LABELS]))
    assert numbers.classes == ("-1", "9", "10")


def test_texts_of_any_length_are_classes_and_groups() -> None:
    kind = np.dtypes.StringDType()
    names = np.array(["mole", "burn", "acne"], kind)[LABELS]
    dataset = read_arrays((IMAGES, names), groups=names)
    assert dataset.classes == ("acne", "burn", "mole")
    assert dataset.groups[:3].tolist() == ["mole", "burn", "acne"]


def test_large_images_are_reduced_as_those_of_files_are(tmp_path: Path) -> None:
    """So a network sees the same pixels in training as when it predicts an array, or a file, of that size."""
    large = np.random.default_rng(0).integers(0, 256, (4, 300, 400, 3), np.uint8)
    for number, image in enumerate(large):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    files = [decode(tmp_path / f"{number}.png").pixels for number in range(4)]
    assert files[0].shape == (256, 341, 3)
    labels = np.array([0, 0, 1, 1])
    np.savez(tmp_path / "file.npz", train_images=large, train_labels=labels)
    for dataset in (
        read_arrays((large, labels)),
        read_arrays(Pairs(list(large), labels)),
        load(str(tmp_path / "file.npz")),
    ):
        assert all(np.array_equal(*pair) for pair in zip(dataset.images, files, strict=True))


def test_groups_are_those_that_are_given() -> None:
    dataset = read_arrays((IMAGES, LABELS), groups=np.arange(60) // 2)
    assert dataset.groups[:4].tolist() == ["0", "0", "1", "1"]
    assert dataset.groups_from == "manifest"
    assert groups_from_source(dataset).groups_reason.startswith("given with the images")
    counted = read_arrays((IMAGES, LABELS), groups=np.arange(60))
    (warning,) = check_groups(counted, find_near_duplicates(counted, "none")).warnings[-1:]
    assert warning.message.startswith("The groups were not used, since each of the 60 images has its own value")
    assert warning.message.endswith("or leave groups out.")


def test_groups_in_several_spellings_are_one_as_in_files() -> None:
    dataset = read_arrays((IMAGES, LABELS), groups=["p10", "P 10", "p-010", *(f"q{number}" for number in range(57))])
    assert set(dataset.groups[:3].tolist()) == {"p10"}
    (warning,) = dataset.warnings
    assert warning.code == "group_spellings" and "'P 10' and 'p-010' and 'p10'" in warning.message


def test_a_data_set_may_use_the_memory_of_an_image_again() -> None:
    class Buffered(Pairs):
        buffer = np.empty((8, 8), np.uint8)

        def __getitem__(self, index: int) -> tuple[Any, Any]:
            self.buffer[:] = self.images[index]
            return self.buffer, self.labels[index]

    dataset = read_arrays(Buffered(IMAGES, LABELS))
    assert dataset.fingerprint == read_arrays((IMAGES, LABELS)).fingerprint


def test_large_images_of_a_data_set_are_reduced_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them at once, at full size, need more memory than there is."""
    events: list[str] = []

    class Large(Pairs):
        def __getitem__(self, index: int) -> tuple[Any, Any]:
            events.append("read")
            return np.full((300, 300), index, np.uint8), self.labels[index]

    reduce = arrays.reduce_pixels
    monkeypatch.setattr(arrays, "reduce_pixels", lambda image: (events.append("reduced"), reduce(image))[1])
    assert read_arrays(Large(None, LABELS)).images[0].shape == (256, 256, 1)
    assert events == 60 * ["read", "reduced"]


def test_copies_in_arrays_are_the_groups_that_they_are_in_a_file(tmp_path: Path) -> None:
    """So equal data have equal fingerprints, whatever they are read from."""
    images = np.random.default_rng(1).integers(0, 256, (12, 64, 64), np.uint8)
    images[1] = images[0]
    labels = np.arange(12) // 2 % 2
    np.savez(tmp_path / "file.npz", train_images=images, train_labels=labels)
    dataset, file = (find_groups(each) for each in (read_arrays((images, labels)), load(str(tmp_path / "file.npz"))))
    assert dataset.groups_from == "near duplicates" and dataset.groups[:3].tolist() == ["0", "0", "2"]
    assert dataset.fingerprint == file.fingerprint


def test_a_data_set_is_read_after_the_other_arguments_are_checked(tmp_path: Path) -> None:
    pairs = Pairs(list(IMAGES), LABELS)
    with pytest.raises(InputError, match="budget"):
        lightcnn.search("1parsec", data=pairs, out=tmp_path / "run")
    with pytest.raises(InputError, match="time"):
        lightcnn.search("1MFLOPs", data=pairs, time="soon", out=tmp_path / "run")
    with pytest.raises(InputError, match="already exists"):
        lightcnn.train("quick", data=pairs, out=tmp_path)
    assert pairs.read == 0


@pytest.mark.parametrize("call", [lightcnn.search, lightcnn.audit, partial(lightcnn.train, "quick")])
def test_an_empty_text_is_no_folder(call: Callable[..., object], tmp_path: Path) -> None:
    arguments = {"data": ""} if call is not lightcnn.audit else {"source": ""}
    with pytest.raises(DataError, match="data: is empty; give a path, the name of a data set"):
        call(**arguments, out=tmp_path / "run")


class NeitherEqualNorUnequal:
    """Compares as pandas' NA does, which is what columns of nullable types have for missing values."""

    def __ne__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")


class Column(Pairs):
    """Reads by the labels of its rows, here from 1, as a column of pandas does."""

    iloc = None

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return {number + 1: pair for number, pair in enumerate(zip(self.images, self.labels, strict=True))}[index]


class Failing(Pairs):
    """A data set whose item 7 raises an error."""

    def __init__(self, error: Exception) -> None:
        super().__init__(IMAGES, LABELS)
        self.error = error

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if index == 7:
            raise self.error
        return super().__getitem__(index)


def with_last(value: Any) -> Any:
    """Texts as objects, such as a column of pandas, with that value for the last image."""
    return np.array([f"p{index // 4}" for index in range(59)] + [value], dtype=object)


def objects(values: Any) -> Any:
    """A column of such values, (N,)."""
    column = np.empty(len(values), dtype=object)
    column[:] = list(values)
    return column


MIXED = [*IMAGES[:59], np.zeros((8, 8, 3), np.uint8)]


@pytest.mark.parametrize(
    ("data", "groups", "message"),
    [
        ((IMAGES / 255, LABELS), None, "images are float64, not uint8; scale them to 0..255"),
        ((IMAGES[:50], LABELS), None, r"50 images, but labels of shape \(60,\)"),
        ((IMAGES[:, None], LABELS), None, r"X has shape \(60, 1, 8, 8\).*move the channels to the end"),
        ((IMAGES[0], LABELS), None, r"X has shape \(8, 8\)"),
        ((IMAGES[:0], LABELS[:0]), None, r"X has shape \(0, 8, 8, 1\)"),
        ((IMAGES, LABELS / 2), None, "labels are float64; give integers or texts"),
        ((IMAGES, np.eye(60)), None, r"labels of shape \(60, 60\)"),
        ((IMAGES, LABELS), np.arange(59), r"60 images, but groups of shape \(59,\)"),
        ((IMAGES, LABELS), np.where(LABELS == 0, np.nan, 1.0), "groups are missing for some images"),
        ((IMAGES, LABELS), with_last(np.nan), "groups are missing for some images; give every image"),
        ((IMAGES, LABELS), with_last(np.nan).tolist(), "groups are missing for some images"),
        ((IMAGES, LABELS), with_last(None), "groups are missing for some images"),
        ((IMAGES, LABELS), with_last(""), "groups are missing for some images"),
        ((IMAGES, LABELS), ["", *"ab" * 29, "c"], "groups are missing for some images"),
        ((IMAGES, LABELS), with_last(NeitherEqualNorUnequal()), "groups are missing for some images"),
        ((IMAGES, LABELS), np.array(["2020-01-01"] * 59 + ["NaT"], "datetime64[D]"), "groups are missing for some"),
        ((IMAGES, with_last(np.nan)), None, "labels are missing for some images; leave these images out"),
        ((IMAGES, with_last(np.nan).tolist()), None, "labels are missing for some images"),
        ((IMAGES, with_last(NeitherEqualNorUnequal())), None, "labels are missing for some images"),
        (
            Pairs([Image.fromarray(image).convert("P") for image in IMAGES], LABELS),
            None,
            "image 0 has the mode P; convert it",
        ),
        (
            Pairs(IMAGES, np.eye(3)[LABELS]),
            None,
            r"label of image 0 has shape \(3,\); give one integer or text per image",
        ),
        (Pairs(IMAGES, torch.eye(3)[LABELS]), None, r"label of image 0 has shape \(3,\)"),
        ((IMAGES, [[0], [0, 1]] * 30), None, "labels cannot be made an array; give one label per image"),
        ((IMAGES, LABELS), [[0], [0, 1]] * 30, "groups cannot be made an array; give one group per image"),
        (Pairs([[[0], [0, 1]]] * 60, LABELS), None, "image 0 cannot be made an array; give uint8"),
        ((list(IMAGES), LABELS), None, r"X is a list; make it an array, as in numpy\.array\(X, dtype='uint8'\)"),
        ((list(IMAGES[:2]), [0, 1]), None, "X is a list; make it an array"),
        ((IMAGES, [0, "a"] * 30), None, "labels are texts and others; give integers or texts"),
        ((IMAGES, ["", "a"] * 30), None, r"labels are missing for some images \(''\); leave these images out, or give"),
        ((IMAGES, np.array(["", "a"] * 30, dtype=object)), None, "labels are missing for some images"),
        ((IMAGES, ["nan", "a"] * 30), None, r"labels are missing for some images \('nan'\)"),
        ((IMAGES, LABELS), np.array(["<NA>", "p1"] * 30), r"groups are missing for some images \('<NA>'\); give every"),
        (
            (IMAGES, np.ma.masked_equal(LABELS, 2)),
            None,
            "labels has masked values; fill them in, or leave these images out",
        ),
        ((IMAGES, LABELS), np.ma.masked_equal(GROUPS, 2), "groups has masked values; fill them in"),
        ((IMAGES, objects(np.eye(3)[LABELS])), None, "labels are object; give integers or texts"),
        (
            (IMAGES, LABELS),
            objects(np.eye(3)[LABELS]),
            "groups are arrays or lists; give one integer or text per image",
        ),
        ((IMAGES, LABELS), objects([[number] for number in GROUPS]), "groups are arrays or lists"),
        (Column(IMAGES, LABELS), None, r"Column is a table, not a data set of \(image, label\); give arrays \(X, y\)"),
        (
            Failing(IndexError("only 7 rows")),
            None,
            r"Failing has a length of 60, but its item 7 cannot be read \(IndexError: only 7 rows\); it must give "
            r"\(image, label\) for every index from 0 to 59$",
        ),
        (Failing(KeyError(7)), None, r"its item 7 cannot be read \(KeyError: 7\)"),
        (Failing(ZeroDivisionError("one\ntwo")), None, r"its item 7 cannot be read \(ZeroDivisionError: one\);"),
        (torch.tensor(3), None, r"Tensor has no length \(TypeError: len\(\) of a 0-d tensor\); give arrays"),
        (Pairs([], []), None, "Pairs is empty; give at least one image"),
        (3, None, "int is neither a path, nor arrays"),
        ({"X": IMAGES}, None, "dict is neither a path, nor arrays"),
        (IMAGES, None, "ndarray is neither a path, nor arrays"),
        ([(image, 0, 1) for image in IMAGES], None, "list is neither a path, nor arrays"),
        (Pairs(MIXED, LABELS), None, "some images are grey and others have three channels"),
        (
            [("a.png", 1), ("b.png", 0)],
            None,
            "images are texts or other objects, not arrays; give their pixels, or a path",
        ),
        (Pairs(IMAGES / 255, LABELS), None, "images are float64, not uint8; .*, such as ToTensor of torchvision"),
        (
            Pairs(torch.zeros(60, 3, 8, 8, dtype=torch.uint8), LABELS),
            None,
            r"\(3, 8, 8\); .*; move the channels to the end",
        ),
    ],
)
def test_wrong_arrays_are_one_line(data: Any, groups: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_arrays(data, groups)
    assert "\n" not in str(caught.value)


def test_arrays_are_known_only_while_they_are_given() -> None:
    with given((IMAGES, LABELS)) as source:
        assert load(source).fingerprint == read_arrays((IMAGES, LABELS)).fingerprint
    with pytest.raises(DataError, match="the images were arrays in Python, which are not stored; give them"):
        load("arrays")
    with pytest.raises(DataError, match="groups are given with arrays only"), given("digits", groups=LABELS):
        pass


def test_given_arrays_come_before_a_folder_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "arrays").mkdir()
    with given((IMAGES, LABELS)) as source:
        assert len(load(source)) == 60
    with pytest.raises(DataError, match="arrays"):
        load("arrays")


def test_search_train_and_audit_take_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    labels = np.array(["round", "long", "flat"])[LABELS]
    network = lightcnn.search("100kFLOPs", data=(IMAGES, labels), trials=2, epochs=2, workers=1, out="searched")
    assert network.report["data"]["source"] == "arrays"
    assert network.report["data"]["classes"] == ["flat", "long", "round"]
    assert set(network.predict(IMAGES[:2]).predictions) <= {"flat", "long", "round"}
    assert Recipe.load("searched/recipe.yaml").data == "arrays"
    again = lightcnn.train("searched/recipe.yaml", data=(IMAGES, labels), out="again")
    assert again.accuracy == network.accuracy
    with pytest.raises(DataError, match="again from Python with data"):
        lightcnn.train("searched/recipe.yaml", out="without")
    assert not Path("without").exists()
    quick = Recipe.load("quick")
    short = quick.model_copy(update={"training": quick.training.model_copy(update={"epochs": 1})})
    trained = lightcnn.train(short, data=(IMAGES, labels), groups=np.arange(60) // 2, out="quick")
    assert trained.report["data"]["groups"]["known"] is True
    for run, sheets in ((network, set()), (again, {"plots/errors.png"}), (trained, {"plots/errors.png"})):
        require_no_images(run, sheets=sheets)
    audit = lightcnn.audit((IMAGES, labels), fast=True, out="audit")
    assert audit.report["counts"]["images"] == 60


IMAGE_SUFFIXES = {".npz", ".npy", ".pt", ".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".zip", ".tar"}


def require_no_images(run: lightcnn.Run, *, sheets: Set[str] = frozenset()) -> None:
    """No file holds the pixels of an image; only charts, which are empty here, and `sheets` are files of images."""
    files = {file.relative_to(run.path).as_posix(): file for file in run.path.rglob("*") if file.is_file()}
    assert {"weights.safetensors", "plots/confusion.png"} <= files.keys()
    contents = [file.read_bytes() for file in files.values()]
    for image in IMAGES:
        for pixels in (image, image.astype(np.float32), (image / 255).astype(np.float32)):
            assert not any(pixels.tobytes() in content for content in contents)
    empty = files["plots/confusion.png"].read_bytes()
    assert np.unique(np.asarray(Image.open(io.BytesIO(empty)))).tolist() == [255]
    others = {name for name, file in files.items() if file.suffix in IMAGE_SUFFIXES and file.read_bytes() != empty}
    assert others <= sheets


def test_a_run_of_arrays_does_not_hold_its_images(searched: lightcnn.Run, tmp_path: Path) -> None:
    require_no_images(searched)
    for write in (np.save, np.savez, np.savez_compressed):
        copy = lightcnn.Run(Path(shutil.copytree(searched.path, tmp_path / write.__name__)))
        require_no_images(copy)
        write(copy / "images", IMAGES)
        with pytest.raises(AssertionError):
            require_no_images(copy)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> lightcnn.Run:
    """A search of arrays with groups."""
    out = tmp_path_factory.mktemp("arrays") / "run"
    return lightcnn.search("50kFLOPs", data=(IMAGES, LABELS), groups=GROUPS, trials=1, epochs=1, workers=1, out=out)


def test_what_a_run_of_arrays_says_to_do_next_can_be_done(searched: lightcnn.Run) -> None:
    head = "# The images were given in Python and are not stored: train again with lightcnn.train(FILE, data=(X, y)).\n"
    assert (searched / "recipe.yaml").read_text().startswith(head)
    page = html.unescape(re.sub("<[^>]+>", "", (searched / "report.html").read_text(encoding="utf-8")))
    assert f"lightcnn.search(data=(X, y), out='{searched.path}', resume=True, trials=2)" in page
    assert f"lightcnn.train('{searched / 'recipe.yaml'}', data=(X, y), seeds=5)" in page
    assert "--resume" not in page and "lightcnn train" not in page


def test_a_run_of_arrays_is_exported_to_8_bits_with_the_same_arrays(searched: lightcnn.Run, tmp_path: Path) -> None:
    with pytest.raises(LightcnnError, match="needs training images for its calibration"):
        lightcnn.export(searched, "c", out=tmp_path / "without")
    with pytest.raises(InputError, match="groups without data"):
        lightcnn.export(searched, "c", groups=GROUPS, out=tmp_path / "without")
    exported = lightcnn.export(searched, "c", data=(IMAGES, LABELS), groups=GROUPS, out=tmp_path / "with")
    assert [row["format"] for row in exported.report["formats"]] == ["c"]
    assert exported.report["data"]["fingerprint"] == searched.report["data"]["fingerprint"]
    assert "not the run's own data" not in exported.report["data"]["note"]


def test_training_keeps_the_positive_class_of_a_recipe_and_refuses_an_unknown_one(tmp_path: Path) -> None:
    quick = Recipe.load("quick")
    training = quick.training.model_copy(update={"epochs": 1})
    labels = np.array(["normal", "lesion"])[LABELS % 2]  # lesion is positive by its name
    for positive, order in (("normal", ["lesion", "normal"]), (None, ["normal", "lesion"])):
        reading = quick.reading.model_copy(update={"positive": positive})
        recipe = quick.model_copy(update={"training": training, "reading": reading})
        run = lightcnn.train(recipe, data=(IMAGES, labels), out=tmp_path / str(positive), device="cpu")
        assert run.report["data"]["classes"] == order
    reading = quick.reading.model_copy(update={"positive": "absent"})
    with pytest.raises(InputError, match=r"positive class 'absent'.*choose another class, or none"):
        lightcnn.train(quick.model_copy(update={"reading": reading}), data=(IMAGES, labels), out=tmp_path / "absent")
    assert not (tmp_path / "absent").exists()
