"""Families of file names of two and more parts: which give groups, which a question, and which nothing."""

from __future__ import annotations

import hashlib
from itertools import product

import pytest

from lightcnn.data.grouping.name_groups import name_groups, open_question


def named(pattern, *ranges):
    """The names of all combinations; a range may be a number, or a list of words."""
    return [pattern.format(*parts) for parts in product(*(range(r) if isinstance(r, int) else r for r in ranges))]


def counted(pattern, count):
    return [pattern.format(i, hashlib.sha1(str(i).encode()).hexdigest()) for i in range(count)]


GROUPS = {
    "subject, visit, letter": (named("S{:03}_V{}_{}", 20, 2, "AB"), 20),
    "subject, visit, letter of the class": ([f"S{i // 2:03}_V{i % 2}_{'AB'[i // 2 % 2]}" for i in range(80)], 40),
    "subject, visit, side": (named("S{:03}_V{}_{}", 20, 2, "LR"), 20),
    "patient, side, number": (named("P{}_{}_{:02}", 20, "LR", 2), 20),
    "case and slice": (named("case_{:02}_slice_{}", 20, 4), 20),
    "slice and case": (named("slice_{}_case_{:02}", 4, 20), 20),
    "modality and patient": (named("MRI_patient{}_{}", 20, 2), 20),
    "session and subject": (named("session{}_subj{:02}_{}", 6, 12, 2), 12),
    "subject, session, weighting": (named("sub-{:02}_ses-{}_T{}w", 20, 2, 2), 20),
    "patient, frame, slice": (named("patient{:03}_frame{:02}_slice_{}", 20, 2, 3), 20),
    "slides of BreakHis": (named("SOB_M_DC-14-2{:03}-40-{:03}", 20, 3), 20),
}
QUESTIONS = {
    "three numbers": (named("{:03}_{}_{}", 20, 2, 3), "'000' (20 names) or '000_0' (40 names)"),
    "a letter with a number": (named("M{:02}_V{}_{}", 20, 2, "AB"), "'m00' (20 names) or 'm00_v0' (40 names)"),
    "letters without separators": (named("X{:03}V{}{}", 20, 2, "AB"), "'x000' (20 names) or 'x000v0' (40 names)"),
    "number and two words": (
        named("{:03}_{}_{}", 20, ("pre", "post"), ("axial", "coronal")), "'000' (20 names) or '000_pre' (40 names)",
    ),
    "site and patient": (
        named("site{}_patient{:02}_{}", 6, 6, 2), "'site0' (6 names) or 'site0_patient00' (36 names)",
    ),
    "LIDC": (named("LIDC-IDRI-{:04}_{:03}", 20, 3), "'lidc-idri-0000' (20 names)"),
    "TCGA and a date": ([f"TCGA_CS_{4941 + i}_19960{i % 9 + 1}09_{j}" for i in range(20) for j in range(4)],
                        "'tcga_cs_4941' (20 names) or 'tcga_cs_4941_19960109' (20 names)"),
    "a date before the patient": (named("20230105_{:03}_{}", 20, 3), "'20230105_000' (20 names)"),
    "times behind the patient": (
        [f"X{i // 3:03}_202301{i % 28 + 1:02}_12{i % 60:02}{7 * i % 60:02}" for i in range(60)], "'x000' (20 names)",
    ),
    "few cases": (named("case_{:02}_slice_{}", 4, 20), "'case_00' (4 names)"),
    "few videos": (named("video{}_frame{}", 3, 20), "'video0' (3 names)"),
}  # fmt: skip
NOTHING = {
    "running numbers": counted("{:04}", 60),
    "camera": counted("IMG_{:04}", 60),
    "data set and running number": counted("COCO_train2014_{:012}", 60),
    "class and number": counted("cat_{}", 30) + counted("disc_{}", 30),
    "class, version and number": counted("cat_v2_{}", 30) + counted("disc_v2_{}", 30),
    "split, class and number": counted("train_cat_{:04}", 30) + counted("train_disc_{:04}", 30),
    "class, size and number": counted("cat_224_{}", 30) + counted("disc_224_{}", 30),
    "number and class": named("{:04}_{}", 30, ("cat", "disc")),
    "number, version and class": named("{:04}_v2_{}", 30, ("cat", "disc")),
    "hashes": counted("{1}", 60),
    "parts of hashes": counted("{1:.8}_{1:.16}_{1}", 60),
    "number and hash": counted("{:04}_{:.8}", 60),
    "day and counter": [f"IMG_202301{i // 6 + 1:02}_{i % 6:04}" for i in range(60)],
    "day, month, year and counter": [f"{i // 6 + 1:02}-01-2023_{i % 6}" for i in range(60)],
    "day and time": [f"IMG_202301{i % 28 + 1:02}_{7919 * i % 24:02}{i:02}{7 * i % 60:02}" for i in range(60)],
    "screenshots": [f"Screenshot 2023-01-{i % 28 + 1:02} at {i % 24:02}.{i:02}.{7 * i % 60:02}" for i in range(60)],
    "every ten minutes": named("2023-01-05_{:02}-{}0-00", 12, 6),
    "months": named("img_2023-{:02}_{}", 12, 5),
    "seconds since 1970": [f"{1672531200 + 3777 * i}" for i in range(60)],
    "seconds and milliseconds": [f"{1672531200 + 3777 * i}_{7919 * i % 1000:03}" for i in range(60)],
    "frames of one video": counted("video_1_frame_{:04}", 60),
    "cases of one image": counted("case_{}_slice_0", 60),
    "few cases of one image": counted("case_{}", 4),
    "coordinates": [f"lat{40 + 7919 * i % 1000 / 1000}_lon{7 + 6007 * i % 1000 / 1000}" for i in range(60)],
}


def answer(stems):
    """The number of groups of names, and the question about them; classes are in the names, or unrelated to them."""
    paths = [f"img/{stem}.png" for stem in stems]
    assert len(set(paths)) == len(paths)
    labels = [
        "cat" if "cat" in stem or ("disc" not in stem and i // 12 % 2) else "disc" for i, stem in enumerate(stems)
    ]
    split = [""] * len(paths)
    names = name_groups(paths, labels=labels, split=split)
    groups = None if names is None else names.groups.tolist()
    sure = names is not None and names.sure
    return groups and len(set(groups)), "" if sure else open_question(paths, labels, split, groups)


@pytest.mark.parametrize(("stems", "count"), GROUPS.values(), ids=GROUPS)
def test_families_that_give_groups(stems, count):
    assert answer(stems) == (count, "")


@pytest.mark.parametrize(("stems", "names"), QUESTIONS.values(), ids=QUESTIONS)
def test_families_that_give_a_question(stems, names):
    groups, question = answer(stems)
    assert groups is None
    assert question.startswith(f"{len(stems)} of {len(stems)} file names ")
    assert question.endswith(f", as {names}")


@pytest.mark.parametrize("stems", NOTHING.values(), ids=NOTHING)
def test_families_that_give_neither(stems):
    assert answer(stems) == (None, "")


@pytest.mark.parametrize(
    ("stems", "count", "names"),
    [
        (named("{:03}_{}_{}", 20, 2, "LR"), 40, "'000' (20 names)"),
        (named("scan_{}_{}{}", 12, 3, ("", "_flip")), 36, "'scan_0' (12 names)"),
    ],
)
def test_a_question_about_patients_of_several_inferred_groups(stems, count, names):
    groups, question = answer(stems)
    assert groups == count
    assert question.endswith(f"file names begin with a name that recurs, as {names}")
