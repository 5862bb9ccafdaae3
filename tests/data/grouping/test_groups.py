"""Groups from file names and near duplicates: which patterns are accepted, and which are not."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lightcnn.data.grouping import near_duplicates as near_module
from lightcnn.data.grouping import similar as search
from lightcnn.data.grouping.groups import find_groups, infer_groups, linked_images, merge_with_duplicates
from lightcnn.data.grouping.name_groups import MIN_GROUPS, name_groups
from lightcnn.data.grouping.name_patterns import COPIES, PATIENTS, copy_of, patient_of
from lightcnn.data.grouping.near_duplicates import NearDuplicates, find_near_duplicates
from lightcnn.data.grouping.similar import SimilarImages
from lightcnn.data.sources.load import load

UUID = "12345678-1234-1234-1234-123456789abc"
COPIES_AND_SOURCES = {
    "aug_12_8831": "12",
    "augmented-3-17": "3",
    "rotated_90_IMG_7": "IMG_7",
    "rot180_IMG_7": "IMG_7",
    "rotate-15_x": "x",
    "flip_IMG_7": "IMG_7",
    "flipped_horizontal_IMG_7": "IMG_7",
    "hflip_x": "x",
    "h_flip_x": "x",
    "vflip_x": "x",
    "blur_x": "x",
    "gaussian_noise_x": "x",
    "noise_0.1_x": "x",
    "bright_x": "x",
    "brightness_1.5_x": "x",
    "crop_x": "x",
    "zoom_x": "x",
    "shear_x": "x",
    "shift_left_x": "x",
    "gray_x": "x",
    "x_aug3": "x",
    "x_aug_3": "x",
    "x-aug-3": "x",
    "x_flipped": "x",
    "x_rot90_flip": "x",
    "flip_rotated_90_IMG_7_aug3": "IMG_7",
    "x - Copy": "x",
    "x - Copy (2)": "x",
    "x_copy": "x",
    "Copy of x": "x",
    "x_jpg.rf.2fc6a10b9d8e7f60": "x",
    "M01_02_jpeg.rf.2fc6a10b9d8e7f60": "M01_02",
    "pox_x_original_IMG_7.jpg_" + UUID: "IMG_7",
    "cat_0_8831": "cat_0",
    "ISIC_0024306_downsampled": "ISIC_0024306",
}
NOT_COPIES = (
    "IMG_0001", "DSC_0012", "mpox_1", "0001", "frame_0001", "2023_0001", "image (700)", "image (2)", UUID,
    "9f86d081884c", "20230101_120000", "IMG_20230101_120000", "rotten_apple_3", "copyright", "flipper_2", "brightside",
    "crops", "x_12", "café",
)  # fmt: skip
FILES_AND_PATIENTS = {
    "M01_02": "m01",
    "NM01_01": "nm01",
    "p23_1": "p23",
    "patient12_3": "patient12",
    "patient-7": "patient-7",
    "P-001_L": "p-001",
    "subject3-img4": "subject3",
    "case_12_2": "case_12",
    "mpox_p23_1": "p23",
    "person100_virus_184": "person100",
    "NORMAL2-IM-1427-0001": "normal2-im-1427",
    "IM-0115-0001": "im-0115",
    "TCGA-A1-A0SB-01Z-00": "tcga-a1-a0sb",
    "SOB_B_A-14-22549AB-40-001": "14-22549ab",
    "8863_idx5_x51_y1251_class0": "8863",
}
NOT_PATIENTS = (*NOT_COPIES, "IMG12_3", "DSC0012_1", "r1_c2", "abcd12_3", "ISIC_0024306", "12_3")


@pytest.mark.parametrize(("stem", "source"), COPIES_AND_SOURCES.items())
def test_the_source_of_a_copy(stem, source):
    assert copy_of(stem, frozenset()).source == source


@pytest.mark.parametrize("stem", NOT_COPIES)
def test_other_names_are_not_copies(stem):
    assert copy_of(stem, frozenset()).source == stem


def test_a_source_that_exists_decides_between_patterns():
    assert copy_of("x (2)", {"x"}).source == "x"
    assert copy_of("x (12)", {"x"}).source == "x (12)", "no file is copied twelve times"
    assert copy_of("blur_7_1", {"7_1"}).source == "7_1"
    assert copy_of("aug_IMG_7_3", {"IMG_7"}).source == "IMG_7"
    assert copy_of("aug_IMG_7_3", {"IMG_7_3"}).source == "IMG_7_3"


@pytest.mark.parametrize(("stem", "patient"), FILES_AND_PATIENTS.items())
def test_the_patient_of_a_file(stem, patient):
    assert patient_of(stem, "mpox")[1] == patient


@pytest.mark.parametrize("stem", NOT_PATIENTS)
def test_other_names_contain_no_patient(stem):
    assert patient_of(stem, "mpox") is None


def test_every_pattern_has_an_example_above():
    patterns = {pattern for stem in COPIES_AND_SOURCES for pattern in copy_of(stem, frozenset()).patterns}
    assert patterns == {name for name, _ in COPIES}
    assert {patient_of(stem, "mpox")[0] for stem in FILES_AND_PATIENTS} == {name for name, _ in PATIENTS}


@given(st.text(alphabet="aug_rotflipcopy0123456789() .-hvx", max_size=255))
def test_adversarial_names_are_read_quickly(stem):
    start = time.monotonic()
    copy_of(stem, frozenset())
    patient_of(stem, stem[:3])
    assert time.monotonic() - start < 1


def files(*names, folder="A"):
    return [f"{folder}/{name}" for name in names]


def counted(pattern, count, folder="A"):
    return files(*(pattern.format(i) for i in range(1, count + 1)), folder=folder)


ACCEPTED = {
    "keras": ([f"A/aug_{i // 5}_{7919 * i % 10000}.png" for i in range(1, 40)], 8),
    "keras with its own prefix": ([f"A/cat_{i // 5}_{7919 * i % 10000}.png" for i in range(1, 40)], 8),
    "roboflow": ([f"train/A/x{i}_jpg.rf.{i:08x}{j:08x}.jpg" for i in range(8) for j in range(3)], 8),
    "few augmented": (counted("IMG_{}.jpg", 50) + counted("flip_IMG_{}.jpg", 6), 50),
    "two copies of a missing source": (
        counted("flip_IMG_{}.jpg", 20) + counted("rot90_IMG_{}.jpg", 20), 20,
    ),
    "patients": ([f"A/M{i:02}_{j:02}.jpg" for i in range(20) for j in range(3)], 20),
    "patients, a fifth unnamed": (
        [f"A/M{i:02}_{j:02}.jpg" for i in range(20) for j in range(4)] + counted("IMG_{}.jpg", 20), 40,
    ),
    "copies of photographs of patients": (
        [f"A/{mark}M{i:02}_{j:02}.jpg" for mark in ("", "flip_") for i in range(9) for j in range(3)], 9,
    ),
    "one patient in two classes": ([f"{label}/p{i}_{j}.jpg" for label in "AB" for i in range(9) for j in range(2)], 9),
    "numbers restart in each class": (
        [f"{label}/{mark}{i}.png" for label in "AB" for mark in ("", "rot90_") for i in range(9)], 18,
    ),
    "numbers restart in each split": (
        [f"{side}/A/{mark}{i}.png" for side in ("train", "test") for mark in ("", "rot90_") for i in range(9)], 18,
    ),
    "augmented, then split": (
        [f"{side}/A/{mark}IMG_{i}.png" for side, mark in (("train", ""), ("test", "rot90_")) for i in range(9)], 9,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("paths", "count"), ACCEPTED.values(), ids=ACCEPTED)
def test_plausible_patterns_are_accepted(paths, count):
    names = name_groups(paths)
    assert names is not None
    assert len(set(names.groups.tolist())) == count
    assert names.groups.shape == (len(paths),)
    assert f"of {len(paths):,} file names" in names.reason
    assert (name_groups(paths[::-1]).groups[::-1] == names.groups).all(), "order does not matter"


REJECTED = {
    "camera": counted("IMG_{:04}.jpg", 50),
    "nikon": counted("DSC_{:04}.jpg", 50),
    "class and counter": counted("mpox_{}.png", 50, "mpox") + counted("chickenpox_{}.png", 50, "chickenpox"),
    "numbers": counted("{:04}.png", 50),
    "frames": counted("frame_{:04}.png", 50),
    "year and counter": counted("2023_{:04}.png", 50),
    "windows": [*counted("image ({}).jpg", 700), "A/image.jpg"],
    "uuids": [f"A/{i:08x}-1234-1234-1234-123456789abc.png" for i in range(50)],
    "timestamps": [f"A/202301{i:02}_120000.jpg" for i in range(1, 30)],
    "two cameras": [f"A/C{i}_{j}.jpg" for i in (1, 2) for j in range(50)],
    "a class that is a word of augmentation": counted("blur_{}.png", 50, "blur") + counted("noise_{}.png", 50, "noise"),
    "a disease that is one": [f"{c}/{c}_{i}.png" for c in ("apple_rot", "apple_scab", "pear_rot") for i in range(40)],
    "cases with one image each": counted("case_{}.png", 50),
    "keras from one image": [f"A/cat_0_{7919 * i % 10000}.png" for i in range(50)],
    "a counter in two parts": [f"A/scan_{i // 10}_{i % 10}.png" for i in range(100)],
    "a few copies": counted("IMG_{}.jpg", 50) + counted("IMG_{} - Copy.jpg", MIN_GROUPS - 1),
    "half are patients": [f"A/M{i:02}_{j}.jpg" for i in range(10) for j in range(3)] + counted("{}.jpg", 30),
    "nothing": [],
}  # fmt: skip


@pytest.mark.parametrize("paths", REJECTED.values(), ids=REJECTED)
def test_implausible_patterns_are_rejected(paths):
    assert name_groups(paths) is None


def test_running_numbers_in_two_splits():
    paths = [f"{split}/A/aug_{i}_{7919 * (18 * (split == 'test') + i + j * 9) % 10000}.png"
             for split in ("train", "test") for i in range(8) for j in range(2)]  # fmt: skip
    within, across = np.repeat(np.arange(16), 2), np.tile(np.repeat(np.arange(8), 2), 2)
    known = {"unknown": None, "blind": np.arange(32), "within": within, "across": across}
    results = {name: name_groups(paths, clusters=clusters) for name, clusters in known.items()}
    groups = {name: len(set(names.groups.tolist())) for name, names in results.items()}
    assert groups == {"unknown": 8, "blind": 8, "within": 16, "across": 8}


def test_near_duplicates_overrule_names():
    paths = [f"A/{mark}{i}.png" for mark in ("flip_", "rot_") for i in range(10)]
    others = np.repeat(np.arange(10), 2)
    assert name_groups(paths, clusters=others) is None, "none of ten copies is similar to its source, others are"
    assert name_groups(paths, clusters=np.tile(np.arange(10), 2)) is not None
    assert name_groups(paths, clusters=np.arange(20)) is not None, (
        "no images are similar: the search finds nothing in this data"
    )
    patients = [f"A/M{i:02}_{j}.jpg" for i in range(10) for j in range(2)]
    apart = np.repeat(np.arange(10), 2)
    assert name_groups(patients, clusters=np.arange(20)) is not None, "images of a patient need not be similar"
    assert name_groups(patients, clusters=apart) is not None
    assert name_groups(patients, clusters=np.roll(apart, 1)) is None, "each cluster has two patients"


@given(
    st.lists(st.sampled_from([*COPIES_AND_SOURCES, *NOT_COPIES, *FILES_AND_PATIENTS]), max_size=40),
    st.sampled_from(["A", "train/A"]),
)
def test_any_names_are_read_and_enough_groups_have_two_or_more(stems, folder):
    paths = [f"{folder}/{stem}.{'jpg' if i % 2 else 'png'}" for i, stem in enumerate(dict.fromkeys(stems))]
    names = name_groups(paths)
    if names is not None:
        sizes = np.unique(names.groups, return_counts=True)[1]
        assert (sizes > 1).sum() >= MIN_GROUPS


@given(st.lists(st.lists(st.integers(0, 9), min_size=12, max_size=12), min_size=1, max_size=3))
def test_linked_images_are_exactly_those_with_equal_keys(keys):
    joint = linked_images(*(np.array(values) for values in keys))
    assert (joint <= np.arange(12)).all()
    assert (joint[joint] == joint).all()
    for values in keys:
        for value in set(values):
            assert len({int(joint[i]) for i in range(12) if values[i] == value}) == 1
    assert len(set(joint.tolist())) >= 12 - sum(12 - len(set(values)) for values in keys)


@pytest.fixture
def photographs(tmp_path):
    """Twelve images of 70 pixels in two classes; the last is a copy of the first in the other class."""
    random = np.random.default_rng(0)
    for i in range(12):
        folder = tmp_path / "photographs" / "AB"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (70, 70, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    (tmp_path / "photographs" / "B" / "11.png").write_bytes((tmp_path / "photographs" / "A" / "0.png").read_bytes())
    return str(tmp_path / "photographs")


@pytest.fixture
def searches(monkeypatch, tmp_path):
    """The runs of a fake search that reports the first two images as near duplicates."""
    runs = []

    def fake(images, *, progress=None):
        runs.append(len(images))
        clusters = np.arange(len(images))
        clusters[1] = 0
        return SimilarImages(np.array([[0, 1]]), np.array([20]), clusters)

    monkeypatch.setattr(search, "find_similar", fake)
    monkeypatch.setattr(search, "MIN_PIXELS", 64)
    monkeypatch.setenv("LIGHTCNN_CACHE", str(tmp_path / "cache"))
    return runs


def test_groups_of_near_and_exact_duplicates(photographs, searches):
    data = find_groups(load(photographs))
    assert data.groups_from == "near duplicates"
    assert data.groups[0] == data.groups[1] == data.groups[data.paths.index("B/11.png")]
    assert len(set(data.groups.tolist())) == 10
    assert "2 images are near duplicates in 1 cluster" in data.groups_reason
    assert "1 was joined to an image with equal pixels" in data.groups_reason
    assert data.note == ""


def test_near_duplicates_are_searched_for_once(photographs, searches, tmp_path):
    first, second = find_groups(load(photographs)), find_groups(load(photographs))
    assert searches == [12]
    assert (first.groups == second.groups).all()
    (kept,) = (tmp_path / "cache" / "groups").iterdir()
    for damaged in (b"", b"PK\x03\x04", kept.read_bytes()[:-40]):
        kept.write_bytes(damaged)
        assert (find_groups(load(photographs)).groups == first.groups).all()
    np.savez(kept, pairs=np.zeros((1, 2), int), strength=np.zeros(1, int), clusters=np.full(12, 99))
    assert (find_groups(load(photographs)).groups == first.groups).all()
    np.savez(kept, pairs=np.array([{}], dtype=object), strength=np.zeros(1, int), clusters=np.zeros(12, int))
    assert (find_groups(load(photographs)).groups == first.groups).all()
    assert len(searches) == 6
    assert [file.name for file in kept.parent.iterdir()] == [kept.name], "no temporary file is left"


def test_large_sets_wait_for_an_audit(photographs, searches, monkeypatch):
    monkeypatch.setattr(near_module, "MAX_IMAGES_WITHOUT_AUDIT", 11)
    data = find_groups(load(photographs))
    assert (searches, data.groups_from) == ([], "none")
    assert "not searched for among more than 11 images; `lightcnn audit` does that" in data.note
    assert data.groups[0] == data.groups[data.paths.index("B/11.png")], (
        "images with equal pixels are one group in any case"
    )
    assert find_near_duplicates(load(photographs), "all").similar is not None
    assert find_groups(load(photographs)).groups_from == "near duplicates"
    assert searches == [12]


def test_groups_are_found_without_a_writable_cache(photographs, searches, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LIGHTCNN_CACHE", str(tmp_path / "file"))
    assert find_groups(load(photographs)).groups_from == "near duplicates"


def test_the_note_reports_the_search_if_no_groups_are_known():
    data = find_groups(load("digits"))
    assert data.groups_from == "none"
    assert len(set(data.groups.tolist())) == 1797
    assert "the images have no file names" in data.note
    assert "images of 8 pixels are too small" in data.note


def test_names_and_near_duplicates_together(tmp_path, searches):
    random = np.random.default_rng(0)
    for i in range(8):
        for j in range(2):
            folder = tmp_path / "set" / "AB"[i % 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (70, 70), dtype=np.uint8)).save(folder / f"p{i}_{j}.png")
    data = load(str(tmp_path / "set"))
    both = find_groups(data)
    assert both.groups_from == "names and near duplicates"
    assert len(set(both.groups.tolist())) == 8
    assert set(both.groups.tolist()) == {f"p{i}" for i in range(8)}
    only = infer_groups(data, NearDuplicates(None, "near duplicates were not searched for"))
    assert (only.groups_from, set(only.groups.tolist())) == ("names", set(both.groups.tolist()))
    assert "16 of 16 file names contain a patient identifier" in only.groups_reason


def test_groups_of_a_manifest_that_share_a_photograph_are_joined(photographs, searches):
    data = load(photographs)
    given_groups = np.array([f"p{i // 2}" for i in range(12)])
    kept = find_groups(data.with_groups(given_groups, "manifest"))
    assert len(searches) == 1
    assert kept.groups_from == "manifest"
    assert kept.groups[data.paths.index("A/0.png")] == kept.groups[data.paths.index("B/11.png")]
    assert len(set(kept.groups.tolist())) == 5
    assert "joined to others that contain the same photograph" in kept.note
    unsearched = merge_with_duplicates(
        data.with_groups(np.full(12, "one"), "manifest"), NearDuplicates(None, "not searched for")
    )
    assert unsearched.note == ""
    assert unsearched.groups_reason.startswith("given by the manifest; 1 contains images of more than one class")
    assert unsearched.groups_reason.endswith("; not searched for")
