"""What the name of one image file may tell: that it is a copy of another, or whom it shows.

Whether a name is believed is decided over all files together, in `groups`.
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
"""Patterns whose source is a place in a list of files, which may begin anew in every folder."""
COPIES = (
    ("Roboflow's", rf"(?P<source>.+)_{SUFFIX}\.rf\.[0-9A-Za-z]{{8,}}"),  # x_jpg.rf.2fc6a1.jpg
    ("Augmentor's", rf".+_original_(?P<source>.+?)\.{SUFFIX}_[0-9A-Fa-f-]{{36}}"),  # class_original_x.jpg_UUID.jpg
    ("aug_SOURCE_NUMBER", r"aug(?:mented)?[_-](?P<source>\d+)[_-](?P<number>\d+)"),  # aug_12_8831.png
    ("aug_SOURCE_NUMBER", r"aug(?:mented)?[_-](?P<known>.+)[_-]\d+"),  # aug_IMG_7_3.png beside IMG_7.png
    (KERAS, r"(?P<source>[A-Za-z][A-Za-z _-]*_\d{1,5})_(?P<scattered>\d{1,7})"),  # x_12_8831
    ("copies of files", r"copy of (?P<source>.+)"),
    ("copies of files", r"(?P<source>.+?)(?: - |[ _-])(?:copy|kopie|copie|copia)(?:[ _-]?\(?\d{1,2}\)?)?"),
    ("copies of files", r"(?P<known>.+?) ?\([1-9]\)"),  # x (2).png beside x.png
    ("words of augmentation", rf"(?:{MEASURED}[ _-]+)(?P<source>.+)"),  # rotated_90_x.png
    ("words of augmentation", rf"(?:{PLAIN}[ _-]+)(?P<source>.+)"),  # flip_x.png
    ("words of augmentation", rf"(?P<source>.+?)[ _-]+(?:{PLAIN})(?:[ _-]?{NUMBER}){{0,2}}"),  # x_aug3.png
)
"""Name and pattern of a whole file name without its suffix. `known` is a source that must be there as a file of its
own, `scattered` a number drawn at random."""

TAIL = r"(?:\d{1,3}|[LR]|left|right|od|os)"
PATIENTS = (
    ("TCGA's patients", r"(?P<id>TCGA-\w{2}-\w{4})(?:-.+)?"),
    ("BreakHis' slides", r"SOB_[BM]_\w+-(?P<id>\d+-\w+)-\d+-\d+"),  # SOB_B_A-14-22549AB-40-001.png
    ("IDC's patients", r"(?P<id>\d+)_idx\d+_x\d+_y\d+_class\d"),  # 8863_idx5_x51_y1251_class0.png
    ("series of chest X-rays", r"(?P<id>(?:NORMAL2?-)?IM-\d+)-\d+(?:-\d+)?"),  # NORMAL2-IM-1427-0001.jpeg
    (
        "PATIENT_NUMBER",  # patient12_3.png, case_12_2.png, person100_virus_184.jpeg
        r"(?P<id>(?:patients?|pat|pt|subject|subj?|case|person|participant|volunteer|donor|lesion|slide|study|series"
        r"|video|vid|clip|seq(?:uence)?)[ _-]?\d+[a-z]?)(?:[ _.-].+)?",
    ),
    # M01_02.jpg, p23_1.png; what cameras write is no patient
    ("LETTER-NUMBER_NUMBER", rf"(?P<id>(?!(?:IMG|IMA|IM|DSC|PIC|MVI|CAM)\d)[A-Z]{{1,3}}\d{{1,5}})[ _-]{TAIL}"),
    ("LETTER-NUMBER_NUMBER", rf"(?P<id>(?:P|S|PT|ID)[_-]\d{{1,5}})[ _-]{TAIL}"),  # P-001_L.png
)
"""As COPIES; `id` is one person's, or one slide's, in every class and on every side."""
_COPIES = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in COPIES)
_PATIENTS = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in PATIENTS)
LONGEST, DEEPEST = 255, 4


class Copy(NamedTuple):
    """The source that a name tells, itself where it tells none; the patterns read; a number drawn at random."""

    source: str
    patterns: frozenset[str] = frozenset()
    scattered: int | None = None


def copy_of(stem: str, known: Set[str], barred: Set[str] = frozenset()) -> Copy:
    """What `stem` is a copy of, by patterns that are not `barred`; `known` are the names in its folder.

    Changes are taken off one by one: `flip_x_aug3` is a copy of `x`.
    """
    found = Copy(stem[:LONGEST])
    for _ in range(DEEPEST):
        if found.patterns and found.source in known:
            break
        step = _step(found.source, known, barred)
        if step is None:
            break
        scattered = step.scattered if found.scattered is None else found.scattered
        found = Copy(step.source, found.patterns | step.patterns, scattered)
    return found


def _step(stem: str, known: Set[str], barred: Set[str]) -> Copy | None:
    """The first reading whose source is there as a file, else the first at all."""
    first = None
    for name, pattern in _COPIES:
        match = None if name in barred else pattern.fullmatch(stem)
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
    """Name of the pattern and the id of whom a file shows, the name of its class before it left out; or None."""
    short = re.sub(rf"{re.escape(label)}[ _-]+", "", stem[:LONGEST], count=1, flags=re.IGNORECASE)
    for name, pattern in _PATIENTS:
        match = pattern.fullmatch(stem[:LONGEST]) or pattern.fullmatch(short)
        if match:
            return name, match["id"].lower()
    return None
