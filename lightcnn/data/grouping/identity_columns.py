"""Columns of a table that look like patients, lesions or studies, judged by their names and values."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

from lightcnn.data.files.spelling import same_name
from lightcnn.data.grouping.belief import FileName, implausible_groups, members_of
from lightcnn.output.warnings import ReportWarning

_PERSONS = """
patient pat subject subj sub person participant volunteer donor client proband individual animal mouse rat owner user
mrn pid paciente paziente sujet sujeto soggetto пациент 患者 病人 환자
"""
_PARTS = """
pt case lesion study exam examination visit encounter accession series serie session sequence acquisition scan sample
specimen biopsy block slide well plate eye knee hand video vid clip recording burst volume stack photograph photo
original parent group cluster family plant tree caso cas fall auge ojo oeil occhio lasion lesione etude studie estudio
gruppe groupe grupo gruppo
"""
_IDENTIFIERS = """
id identifier ident no nr num number name key code uid uuid index idx hash instance barcode submitter pseudonym anon
anonymized anonymised nummer kennung numero 编号 番号
"""
PERSONS, PARTS, IDENTIFIERS = (frozenset(words.split()) for words in (_PERSONS, _PARTS, _IDENTIFIERS))
"""Words for a person, for what of a person or thing several images may show, and for identifiers; without accents, in
the singular."""
OWN_IDENTIFIERS = frozenset(("id", "uid", "uuid", "identifier", "pseudonym"))
"""Words that are enough alone: in many tables, `ID` is the patient."""
MAX_LISTED = 3
"""Most columns that a warning lists."""
MIN_VALUES = 5
"""Fewest values with several images if the name alone is weak evidence, as `eye` or `case` is."""


def looks_like_identity(name: str) -> bool:
    """Whether a column's name consists of words for patients, lesions or studies, and of words for identifiers.

    `PatientID`, `patient-id`, `lesion` and `ID` do; `Patient Age` and `image_id` do not.
    """
    words = _words(name)
    known = all(word in PERSONS | PARTS | IDENTIFIERS for word in words)
    return known and bool(set(words) & (PERSONS | PARTS | OWN_IDENTIFIERS))


def shows_several_images(name: str, values: Sequence[str], labels: Sequence[str]) -> bool:
    """Whether the values of a column, one per image, can be those of patients: some recur, but not for half a class.

    The second rule does not apply if the name is strong evidence, as `patient` or `lesion_id` is.
    """
    keys = [same_name(value) for value in values]
    groups = members_of(key for key in keys if key)
    if not groups or len(set(keys)) < 2:
        return False
    words = set(_words(name))
    if words & PERSONS or (words & PARTS and words & IDENTIFIERS):
        return True
    files = [FileName("", "", label, "") for label in labels]
    return len(groups) >= MIN_VALUES and not implausible_groups(keys, files)


def is_coarser(values: Sequence[str], groups: Sequence[str]) -> bool:
    """Whether the values of a column, one per image, unite several groups: each group has one value."""
    pairs = set(zip(groups, map(same_name, values), strict=True))
    shared = Counter(value for _, value in pairs if value)
    return len(pairs) == len(set(groups)) and 1 < len(shared) < len(pairs)


def identity_warnings(
    columns: Mapping[str, Sequence[str]], labels: Sequence[str], groups: Sequence[str]
) -> list[ReportWarning]:
    """A warning about columns that were not read, but whose names and values, one per image, can be those of patients.

    If there are `groups`, one per image, only columns that unite several of them are mentioned.
    """
    suspicious = {
        name: len({same_name(value) for value in values} - {""})
        for name, values in columns.items()
        if shows_several_images(name, values, labels) and (not groups or is_coarser(values, groups))
    }
    if not suspicious:
        return []
    names = sorted(suspicious, key=lambda name: suspicious[name])
    listed = " and ".join(f"{name!r} with {suspicious[name]:,} values" for name in names[:MAX_LISTED])
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    of = f"{len(set(groups)):,} groups of the column 'group'" if groups else f"{len(labels):,} images"
    message = (
        f"The manifest has {'columns that were' if len(names) > 1 else 'a column that was'} not read, {listed}{more} "
        f"for {of}: if images with one value belong together, as those of a patient or lesion do, rename it to 'group'."
    )
    return [ReportWarning("identity_columns", message, len(names))]


def _words(name: str) -> list[str]:
    """The words of a name in lower case without accents, in the singular; an identifier at the end is a word too."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    plain = re.sub(r"['’]s\b", "", unicodedata.normalize("NFC", plain))
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+", plain)]
    return [part for word in words for part in _parts(word)]


def _parts(word: str) -> list[str]:
    """The known words that a word consists of, as in patientid; the word itself if it is none."""
    known = PERSONS | PARTS | IDENTIFIERS
    if word in known or word.removesuffix("s") in known:
        return [word if word in known else word.removesuffix("s")]
    for end in sorted(IDENTIFIERS, key=len, reverse=True):
        start = word.removesuffix(end)
        if start != word and start in known:
            return [start, end]
    return [word]
