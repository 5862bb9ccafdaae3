"""Groups from file names and near duplicates: what is believed, and what is not."""

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
from lightcnn.data.grouping.name_groups import HANDFUL, name_groups
from lightcnn.data.grouping.name_patterns import COPIES, PATIENTS, copy_of, patient_of
from lightcnn.data.grouping.near_duplicates import NearDuplicates, find_near_duplicates
from lightcnn.data.grouping.similar import SimilarImages
from lightcnn.data.sources.load import load

UUID = "12345678-1234-1234-1234-123456789abc"
COPIED = {
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
NO_COPY = (
    "IMG_0001", "DSC_0012", "mpox_1", "0001", "frame_0001", "2023_0001", "image (700)", "image (2)", UUID,
    "9f86d081884c", "20230101_120000", "IMG_20230101_120000", "rotten_apple_3", "copyright", "flipper_2", "brightside",
    "crops", "x_12", "café",
)  # fmt: skip
SHOWN = {
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
NOBODY = (*NO_COPY, "IMG12_3", "DSC0012_1", "r1_c2", "abcd12_3", "ISIC_0024306", "12_3")


@pytest.mark.parametrize(("stem", "source"), COPIED.items())
def test_the_source_of_a_copy(stem, source):
    assert copy_of(stem, frozenset()).source == source


@pytest.mark.parametrize("stem", NO_COPY)
def test_what_is_no_copy(stem):
    assert copy_of(stem, frozenset()).source == stem


def test_a_source_that_is_there_decides_between_readings():
    assert copy_of("x (2)", {"x"}).source == "x"
    assert copy_of("x (12)", {"x"}).source == "x (12)", "nobody copies a file twelve times"
    assert copy_of("blur_7_1", {"7_1"}).source == "7_1"
    assert copy_of("aug_IMG_7_3", {"IMG_7"}).source == "IMG_7"
    assert copy_of("aug_IMG_7_3", {"IMG_7_3"}).source == "IMG_7_3"


@pytest.mark.parametrize(("stem", "patient"), SHOWN.items())
def test_whom_a_file_shows(stem, patient):
    assert patient_of(stem, "mpox")[1] == patient


@pytest.mark.parametrize("stem", NOBODY)
def test_who_is_shown_is_not_told(stem):
    assert patient_of(stem, "mpox") is None


def test_every_pattern_has_an_example_above():
    read = {pattern for stem in COPIED for pattern in copy_of(stem, frozenset()).patterns}
    assert read == {name for name, _ in COPIES}
    assert {patient_of(stem, "mpox")[0] for stem in SHOWN} == {name for name, _ in PATIENTS}


@given(st.text(alphabet="aug_rotflipcopy0123456789() .-hvx", max_size=255))
def test_hostile_names_are_read_at_once(stem):
    began = time.monotonic()
    copy_of(stem, frozenset())
    patient_of(stem, stem[:3])
    assert time.monotonic() - began < 1


def files(*names, folder="A"):
    return [f"{folder}/{name}" for name in names]


def counted(pattern, count, folder="A"):
    return files(*(pattern.format(i) for i in range(1, count + 1)), folder=folder)


BELIEVED = {
    "keras": ([f"A/aug_{i // 5}_{7919 * i % 10000}.png" for i in range(1, 40)], 8),
    "keras with its own prefix": ([f"A/cat_{i // 5}_{7919 * i % 10000}.png" for i in range(1, 40)], 8),
    "roboflow": ([f"train/A/x{i}_jpg.rf.{i:08x}{j:08x}.jpg" for i in range(8) for j in range(3)], 8),
    "few augmented": (counted("IMG_{}.jpg", 50) + counted("flip_IMG_{}.jpg", 6), 50),
    "two marks of a source that is gone": (
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
    "numbers begin anew in each class": (
        [f"{label}/{mark}{i}.png" for label in "AB" for mark in ("", "rot90_") for i in range(9)], 18,
    ),
    "numbers begin anew on each side": (
        [f"{side}/A/{mark}{i}.png" for side in ("train", "test") for mark in ("", "rot90_") for i in range(9)], 18,
    ),
    "augmented, then split": (
        [f"{side}/A/{mark}IMG_{i}.png" for side, mark in (("train", ""), ("test", "rot90_")) for i in range(9)], 9,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("paths", "count"), BELIEVED.values(), ids=BELIEVED)
def test_patterns_that_are_believed(paths, count):
    told = name_groups(paths)
    assert told is not None
    assert len(set(told.groups.tolist())) == count
    assert told.groups.shape == (len(paths),)
    assert f"of {len(paths):,} file names" in told.why
    assert (name_groups(paths[::-1]).groups[::-1] == told.groups).all(), "order does not matter"


DOUBTED = {
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
    "cases without second pictures": counted("case_{}.png", 50),
    "keras from one image": [f"A/cat_0_{7919 * i % 10000}.png" for i in range(50)],
    "a counter in two parts": [f"A/scan_{i // 10}_{i % 10}.png" for i in range(100)],
    "a few copies": counted("IMG_{}.jpg", 50) + counted("IMG_{} - Copy.jpg", HANDFUL - 1),
    "half are patients": [f"A/M{i:02}_{j}.jpg" for i in range(10) for j in range(3)] + counted("{}.jpg", 30),
    "nothing": [],
}  # fmt: skip


@pytest.mark.parametrize("paths", DOUBTED.values(), ids=DOUBTED)
def test_names_that_tell_nothing(paths):
    assert name_groups(paths) is None


def test_running_numbers_on_two_sides():
    paths = [f"{side}/A/aug_{i}_{7919 * (18 * (side == 'test') + i + j * 9) % 10000}.png"
             for side in ("train", "test") for i in range(8) for j in range(2)]  # fmt: skip
    within, across = np.repeat(np.arange(16), 2), np.tile(np.repeat(np.arange(8), 2), 2)
    known = {"unknown": None, "blind": np.arange(32), "within": within, "across": across}
    told = {name: name_groups(paths, clusters=clusters) for name, clusters in known.items()}
    groups = {name: len(set(names.groups.tolist())) for name, names in told.items()}
    assert groups == {"unknown": 8, "blind": 8, "within": 16, "across": 8}


def test_near_duplicates_overrule_names():
    paths = [f"A/{mark}{i}.png" for mark in ("flip_", "rot_") for i in range(10)]
    others = np.repeat(np.arange(10), 2)
    assert name_groups(paths, clusters=others) is None, "not one of ten copies looks like its source, others do"
    assert name_groups(paths, clusters=np.tile(np.arange(10), 2)) is not None
    assert name_groups(paths, clusters=np.arange(20)) is not None, (
        "nothing looks like anything: the search is blind here"
    )
    patients = [f"A/M{i:02}_{j}.jpg" for i in range(10) for j in range(2)]
    apart = np.repeat(np.arange(10), 2)
    assert name_groups(patients, clusters=np.arange(20)) is not None, "patients need not look alike"
    assert name_groups(patients, clusters=apart) is not None
    assert name_groups(patients, clusters=np.roll(apart, 1)) is None, "each cluster has two patients"


@given(st.lists(st.sampled_from([*COPIED, *NO_COPY, *SHOWN]), max_size=40), st.sampled_from(["A", "train/A"]))
def test_names_never_crash_and_groups_hold_two_or_more(stems, folder):
    paths = [f"{folder}/{stem}.{'jpg' if i % 2 else 'png'}" for i, stem in enumerate(dict.fromkeys(stems))]
    told = name_groups(paths)
    if told is not None:
        sizes = np.unique(told.groups, return_counts=True)[1]
        assert (sizes > 1).sum() >= HANDFUL


@given(st.lists(st.lists(st.integers(0, 9), min_size=12, max_size=12), min_size=1, max_size=3))
def test_components_are_the_finest_that_all_keys_agree_with(keys):
    joint = linked_images(*(np.array(values) for values in keys))
    assert (joint <= np.arange(12)).all()
    assert (joint[joint] == joint).all()
    for values in keys:
        for one in set(values):
            assert len({int(joint[i]) for i in range(12) if values[i] == one}) == 1
    assert len(set(joint.tolist())) >= 12 - sum(12 - len(set(values)) for values in keys)


@pytest.fixture
def photographs(tmp_path):
    """Twelve pictures of 70 pixels in two classes, the last a copy of the first under the other class."""
    random = np.random.default_rng(0)
    for i in range(12):
        folder = tmp_path / "photographs" / "AB"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (70, 70, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    (tmp_path / "photographs" / "B" / "11.png").write_bytes((tmp_path / "photographs" / "A" / "0.png").read_bytes())
    return str(tmp_path / "photographs")


@pytest.fixture
def searched(monkeypatch, tmp_path):
    """A search for near duplicates that finds the first two images alike; how often it ran."""
    runs = []

    def fake(images, *, progress=None):
        runs.append(len(images))
        clusters = np.arange(len(images))
        clusters[1] = 0
        return SimilarImages(np.array([[0, 1]]), np.array([20]), clusters)

    monkeypatch.setattr(search, "find_similar", fake)
    monkeypatch.setattr(search, "LEAST_SIDE", 64)
    monkeypatch.setenv("LIGHTCNN_CACHE", str(tmp_path / "cache"))
    return runs


def test_groups_of_near_and_exact_duplicates(photographs, searched):
    data = find_groups(load(photographs))
    assert data.groups_from == "near duplicates"
    assert data.groups[0] == data.groups[1] == data.groups[data.paths.index("B/11.png")]
    assert len(set(data.groups.tolist())) == 10
    assert "2 images are near duplicates in 1 cluster" in data.groups_reason
    assert "1 was joined to an image of equal pixels" in data.groups_reason
    assert data.note == ""


def test_near_duplicates_are_looked_for_once(photographs, searched, tmp_path):
    once, again = find_groups(load(photographs)), find_groups(load(photographs))
    assert searched == [12]
    assert (once.groups == again.groups).all()
    (kept,) = (tmp_path / "cache" / "groups").iterdir()
    for damaged in (b"", b"PK\x03\x04", kept.read_bytes()[:-40]):
        kept.write_bytes(damaged)
        assert (find_groups(load(photographs)).groups == once.groups).all()
    np.savez(kept, pairs=np.zeros((1, 2), int), strength=np.zeros(1, int), clusters=np.full(12, 99))
    assert (find_groups(load(photographs)).groups == once.groups).all()
    np.savez(kept, pairs=np.array([{}], dtype=object), strength=np.zeros(1, int), clusters=np.zeros(12, int))
    assert (find_groups(load(photographs)).groups == once.groups).all()
    assert len(searched) == 6
    assert [file.name for file in kept.parent.iterdir()] == [kept.name], "no temporary file is left"


def test_large_sets_wait_for_an_audit(photographs, searched, monkeypatch):
    monkeypatch.setattr(near_module, "NEAR_BY_ITSELF", 11)
    data = find_groups(load(photographs))
    assert (searched, data.groups_from) == ([], "none")
    assert "not looked for among more than 11 images, which `lightcnn audit` does" in data.note
    assert data.groups[0] == data.groups[data.paths.index("B/11.png")], "equal pixels are one source all the same"
    assert find_near_duplicates(load(photographs), "all").similar is not None
    assert find_groups(load(photographs)).groups_from == "near duplicates"
    assert searched == [12]


def test_a_cache_that_cannot_be_written_is_none(photographs, searched, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LIGHTCNN_CACHE", str(tmp_path / "file"))
    assert find_groups(load(photographs)).groups_from == "near duplicates"


def test_where_nothing_is_known_the_note_says_what_was_looked_for():
    data = find_groups(load("digits"))
    assert data.groups_from == "none"
    assert len(set(data.groups.tolist())) == 1797
    assert "there are no file names to read" in data.note
    assert "8 pixels are too few" in data.note


def test_names_and_near_duplicates_together(tmp_path, searched):
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
    only = infer_groups(data, NearDuplicates(None, "near duplicates were not looked for"))
    assert (only.groups_from, set(only.groups.tolist())) == ("names", set(both.groups.tolist()))
    assert "16 of 16 file names tell whom they show" in only.groups_reason


def test_groups_of_a_manifest_are_joined_where_they_share_a_photograph(photographs, searched):
    data = load(photographs)
    given_groups = np.array([f"p{i // 2}" for i in range(12)])
    kept = find_groups(data.with_groups(given_groups, "manifest"))
    assert len(searched) == 1
    assert kept.groups_from == "manifest"
    assert kept.groups[data.paths.index("A/0.png")] == kept.groups[data.paths.index("B/11.png")]
    assert len(set(kept.groups.tolist())) == 5
    assert "joined to others, with which they share a photograph" in kept.note
    unsearched = merge_with_duplicates(
        data.with_groups(np.full(12, "one"), "manifest"), NearDuplicates(None, "not looked for")
    )
    assert unsearched.note == ""
    assert unsearched.groups_reason.startswith("named by the manifest; 1 holds images of more than one class")
    assert unsearched.groups_reason.endswith("; not looked for")
