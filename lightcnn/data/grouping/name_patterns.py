"""Patterns of file names: that a file is a copy of another, or which patient it shows.

Whether a pattern is plausible is decided over all files together, in `name_groups`.
"""

from __future__ import annotations

import re
from collections.abc import Set
from typing import NamedTuple

SUFFIX = r"(?:jpe?g|jfif|png|bmp|webp|tiff?)"
MIRROR = r"[hv][ _-]?flip(?:ped)?|hvflip|flip(?:ped)?|mirror(?:ed)?|gr[ae]y(?:scale)?|dup(?:licate)?"
CHANGE = (
    r"aug(?:mented|mentation)?|rot(?:ated?|ation)?|blur(?:red|ry)?|nois[ey]|bright(?:er|en|ened|ness)?"
    r"|dark(?:er|en|ened)?|contrast|crop(?:ped)?|zoom(?:ed)?|shear(?:ed)?|shift(?:ed)?|translat(?:ed?|ion)"
    r"|sharp(?:en|ened)?|scaled?|resized|downsampled|cutout|erased|(?:colou?r[ _-]?)?jitter(?:ed)?|gamma|hue|saturation"
    r"|gauss(?:ian)?|elastic|distort(?:ed|ion)?|affine|transform(?:ed)?|clahe|equali[sz]ed"
)
DETAIL = (
    r"(?:horizontal(?:ly)?|vertical(?:ly)?|left|right|up|down|lr|ud|c?cw|blur|noise|deg(?:rees)?|[hvxy])(?![A-Za-z])"
)
NUMBER = r"[+-]?\d++(?:\.\d++)?+(?:deg)?"
PLAIN = rf"(?:{MIRROR}|{CHANGE})(?:[ _-]?{DETAIL}){{0,3}}"
MEASURED = rf"(?:{CHANGE})(?:[ _-]?{DETAIL}){{0,3}}[ _-]?{NUMBER}"

KERAS = "Keras' PREFIX_SOURCE_NUMBER"
INDEXED = frozenset({"aug_SOURCE_NUMBER", KERAS})
"""Patterns whose source is a position in a list of files, which may restart in every folder."""
COPIES = (
    ("Roboflow's", rf"(?P<source>.+)_{SUFFIX}\.rf\.[0-9A-Za-z]{{8,}}"),  # x_jpg.rf.2fc6a1.jpg
    ("Augmentor's", rf".+_original_(?P<source>.+?)\.{SUFFIX}_[0-9A-Fa-f-]{{36}}"),  # class_original_x.jpg_UUID.jpg
    ("aug_SOURCE_NUMBER", r"aug(?:mented)?[_-](?P<source>\d+)[_-](?P<number>\d+)"),  # aug_12_8831.png
    ("aug_SOURCE_NUMBER", r"aug(?:mented)?[_-](?P<known>.+)[_-]\d+"),  # aug_IMG_7_3.png next to IMG_7.png
    (KERAS, r"(?P<source>[A-Za-z][A-Za-z _-]*_\d{1,5})_(?P<scattered>\d{1,7})"),  # x_12_8831
    ("copies of files", r"copy of (?P<source>.+)"),
    ("copies of files", r"(?P<source>.+?)(?: - |[ _-])(?:copy|kopie|copie|copia)(?:[ _-]?\(?\d{1,2}\)?)?"),
    ("copies of files", r"(?P<known>.+?) ?\([1-9]\)"),  # x (2).png next to x.png
    ("words of augmentation", rf"(?:{MEASURED}[ _-]+)(?P<source>.+)"),  # rotated_90_x.png
    ("words of augmentation", rf"(?:{PLAIN}[ _-]+)(?P<source>.+)"),  # flip_x.png
    ("words of augmentation", rf"(?P<source>.+?)[ _-]+(?:{PLAIN})(?:[ _-]?{NUMBER}){{0,2}}"),  # x_aug3.png
)
"""Title and pattern of a whole file name without its suffix. `source` is the original, `known` an original that must
exist as a file, `scattered` a random number."""

ORIGIN = (
    r"patients?|pat|pt|subject|subj?|case|person|participant|volunteer|donor|proband|paciente|paziente|animal|mouse|rat"
    r"|lesion|eye|specimen|biops(?:y|ie)|slide|well|plate"
)
RECORDING = r"study|exam|visit|session|ses|series|video|vid|clip|seq(?:uence)?"
"""Words that name what several images may show (`ORIGIN`), or how they were taken together."""
TAIL = r"(?:\d{1,3}|[LR]|left|right|od|os)"
BEFORE = rf"(?:[^\W\d_]+|(?:{RECORDING}|slice|frame|image|img|view|tile|patch|scan)[ _-]?\d+)[ _.-]+"
"""A word before the patient: without a number, or with one that counts images."""
LETTER_NUMBER = "LETTER-NUMBER_NUMBER"
PATIENTS = (
    ("TCGA's patients", r"(?P<id>TCGA-\w{2}-\w{4})(?:-.+)?"),
    ("BreakHis' slides", r"SOB_[BM]_\w+-(?P<id>\d+-\w+)-\d+-\d+"),  # SOB_B_A-14-22549AB-40-001.png
    ("IDC's patients", r"(?P<id>\d+)_idx\d+_x\d+_y\d+_class\d"),  # 8863_idx5_x51_y1251_class0.png
    ("series of chest X-rays", r"(?P<id>(?:NORMAL2?-)?IM-\d+)-\d+(?:-\d+)?"),  # NORMAL2-IM-1427-0001.jpeg
    (
        "PATIENT_NUMBER",  # patient12_3.png, person100_virus_184.jpeg, slice_3_case_12.png
        rf"(?:{BEFORE}){{0,4}}?(?P<id>(?:{ORIGIN})[ _-]?\d+[a-z]?)(?:[ _.-].+)?",
    ),
    ("STUDY_NUMBER", rf"(?P<id>(?:{RECORDING})[ _-]?\d+[a-z]?)(?:[ _.-].+)?"),  # video_3_frame_12.png
    # M01_02.jpg, p23_1.png; names that cameras write are not patients
    (LETTER_NUMBER, rf"(?P<id>(?!(?:IMG|IMA|IM|DSC|PIC|MVI|CAM)\d)[A-Z]{{1,3}}\d{{1,5}})[ _-]{TAIL}"),
    # P-001_L.png, P12_L_02.png, S000_V0_A.png
    (LETTER_NUMBER, rf"(?P<id>(?:P|S|PT|ID)[_-]?\d{{1,5}})(?:[ _-](?:{TAIL}|[A-Z]\d{{1,3}}|[A-H])){{1,4}}"),
)
"""As COPIES; `id` identifies a person or a slide, in all classes and splits."""
SIDE = r"left|right|o[dsu]|[lr]|front(?:al)?|lateral|back|rear|top|bottom|ap|pa|[lr]?[ _-]?(?:cc|mlo)"
PAIRS = (
    (
        "NUMBER_SIDE",
        rf"(?P<id>.*\d)[ _.-]?(?P<side>{SIDE})(?:[ _.-](?:{SIDE}))*(?:[ _.-]?\d{{1,2}})?",
    ),  # 10_left.jpeg, 10_right.jpeg
    ("SIDE_NUMBER", rf"(?P<side>{SIDE})[ _.-]?(?P<id>\d+)"),
    ("NUMBER_NUMBER", r"(?P<id>\d+)[ _.-](?P<number>\d+)"),  # 00000001_000.png
    ("NUMBER_LETTER", r"(?P<id>\d+)[ _.-]?(?P<number>[a-h])"),  # 12a.png, 12b.png
)
"""Patterns of an identifier of digits with what distinguishes its images: believed by stricter rules than PATIENTS."""
_COPIES = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in COPIES)
_PATIENTS = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in PATIENTS)
_PAIRS = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in PAIRS)
_FOLDERS = tuple(
    (title, re.compile(pattern, re.IGNORECASE))
    for title, pattern in (
        ("PATIENT_NUMBER", rf"(?:.+[ _-])?(?:{ORIGIN})[ _-]?(?:id[ _-]?)?[0-9a-f-]*\d[0-9a-f-]*"),
        ("STUDY_NUMBER", rf"(?:.+[ _-])?(?:{RECORDING})[ _-]?(?:id[ _-]?)?[0-9a-f-]*\d[0-9a-f-]*"),
        ("NUMBER", r"(?:[A-Z]{1,3}[ _-]?)?\d+"),
    )
)
MAX_CHARACTERS, MAX_CHANGES = 255, 4
"""Most characters of a name that are read, and most changes that are removed from it."""


class Copy(NamedTuple):
    """The original's name, the file's own if it is not a copy; the titles of the patterns; a random number, if any."""

    source: str
    patterns: frozenset[str] = frozenset()
    random_number: int | None = None


class Identifier(NamedTuple):
    """The title of a pattern, the identifier that a name contains, and the number beside it, empty if there is none."""

    title: str
    id: str
    number: str = ""


def copy_of(stem: str, known: Set[str], excluded: Set[str] = frozenset()) -> Copy:
    """What `stem` is a copy of, without `excluded` patterns; `known` are the names in its folder.

    Changes are removed one by one: `flip_x_aug3` is a copy of `x`.
    """
    copy = Copy(stem[:MAX_CHARACTERS])
    for _ in range(MAX_CHANGES):
        if copy.patterns and copy.source in known:
            break
        step = _without_change(copy.source, known, excluded)
        if step is None:
            break
        number = step.random_number if copy.random_number is None else copy.random_number
        copy = Copy(step.source, copy.patterns | step.patterns, number)
    return copy


def _without_change(stem: str, known: Set[str], excluded: Set[str]) -> Copy | None:
    """The first match whose source exists as a file, else the first match."""
    first = None
    for name, pattern in _COPIES:
        match = None if name in excluded else pattern.fullmatch(stem)
        if match is None:
            continue
        parts = match.groupdict()
        number = parts.get("scattered")
        step = Copy(parts.get("source") or parts["known"], frozenset({name}), int(number) if number else None)
        if step.source in known:
            return step
        if first is None and "known" not in parts:
            first = step
    return first


def patient_of(stem: str, label: str) -> tuple[str, str] | None:
    """Title of the pattern and the patient's identifier, in the name with or without the class name, or None."""
    short = _without_label(stem, label)
    for name, pattern in _PATIENTS:
        match = pattern.fullmatch(stem[:MAX_CHARACTERS]) or pattern.fullmatch(short)
        if match:
            return name, match["id"].lower()
    return None


def _without_label(stem: str, label: str) -> str:
    """The name without the class name in it."""
    return re.sub(rf"{re.escape(label)}[ _-]+", "", stem[:MAX_CHARACTERS], count=1, flags=re.IGNORECASE)


def pair_of(stem: str, label: str) -> Identifier | None:
    """The identifier in a name that has one of the patterns of PAIRS, unless the side is the class itself."""
    short = _without_label(stem, label)
    for title, pattern in _PAIRS:
        match = pattern.fullmatch(stem[:MAX_CHARACTERS]) or pattern.fullmatch(short)
        parts = match.groupdict() if match else {}
        if match and parts.get("side", "").casefold() != label.casefold():
            return Identifier(title, match["id"].lower(), parts.get("number", ""))
    return None


def folder_pattern(folder: str) -> str:
    """The title of the pattern of a folder that is named as one patient or study is, or by a number; empty if none."""
    return next((title for title, pattern in _FOLDERS if pattern.fullmatch(folder[:MAX_CHARACTERS])), "")
