"""Columns of a table that look like patients, lesions or studies, judged by their names and values."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from lightcnn.data.files.spelling import same_name
from lightcnn.data.grouping.belief import FileName, implausible_groups, is_coarser, members_of
from lightcnn.output.warnings import ReportWarning

_PERSONS = """
patient pat subject subj sub person participant volunteer donor client proband individual animal mouse rat owner user
mrn pid human child infant baby student player speaker actor driver customer
paciente paziente sujet sujeto soggetto пациент 患者 病人 환자
"""
_PARTS = """
pt case lesion study exam examination visit encounter accession series serie session sequence acquisition scan sample
specimen biopsy block slide well plate eye knee hand video vid clip recording burst volume stack photograph photo
original parent group cluster family plant tree caso cas fall auge ojo oeil occhio lasion lesione etude studie estudio
gruppe groupe grupo gruppo
"""
_IDENTIFIERS = """
id identifier ident no nr num number name key code uid uuid index idx hash instance barcode submitter pseudonym anon
anonymized anonymised nummer kennung numero ref reference alias 编号 番号
"""
_ATTRIBUTES = """
age sex gender race ethnicity date time day month year birth weight height size length width bmi type kind class status
state history position side view stage grade outcome country city count total mean per of n is has with
"""
PERSONS, PARTS, IDENTIFIERS = (frozenset(words.split()) for words in (_PERSONS, _PARTS, _IDENTIFIERS))
"""Words for a person, for what of a person or thing several images may show, and for identifiers; without accents, in
the singular."""
RECORDS, NUMBERS = (
    frozenset(words.split()) for words in ("hospital nhs chart medical record register registration dossier",
                                           "id uid no nr num number nummer numero")
)  # fmt: skip
"""A record, as in `hospital_id`, is a patient's if a number follows; `hospital` alone is a site."""
ATTRIBUTES = frozenset(_ATTRIBUTES.split())
"""Words of what is measured or stated of a patient: with one, a column is no identifier, as `age_patient` is none."""
BOOLEANS = frozenset(("0", "1", "y", "n", "yes", "no", "t", "f", "true", "false"))
OWN_IDENTIFIERS = frozenset(("id", "uid", "uuid", "identifier", "pseudonym"))
"""Words that are enough alone: in many tables, `ID` is the patient."""
MAX_LISTED = 3
"""Most columns that a warning lists."""
MIN_VALUES = 5
"""Fewest values with several images if the name alone is weak evidence, as `eye` or `case` is."""


def looks_like_identity(name: str) -> bool:
    """Whether a column's name consists of words for patients, lesions or studies, and of words for identifiers.

    `PatientID`, `patient-id`, `lesion`, `hospital_id` and `ID` do; `Patient Age`, `site` and `image_id` do not. Other
    words may be before a person, or before an identifier of a part: `isic_patient`, `ham_lesion_id`.
    """
    words = _words(name)
    first = next((i for i, word in enumerate(words) if word in PERSONS | PARTS), 0)
    others = set(words) - (PERSONS | PARTS | IDENTIFIERS | RECORDS)
    if not others:
        is_record = set(words) & RECORDS and set(words) & NUMBERS
        return bool(set(words) & (PERSONS | PARTS | OWN_IDENTIFIERS) or is_record)
    is_prefixed = not others & set(words[first:]) and not set(words) & ATTRIBUTES
    return is_prefixed and _is_strong(words)


def _is_strong(words: Sequence[str]) -> bool:
    """Whether words are strong evidence: a person, or the identifier of a part, as in `lesion_id`."""
    names = set(words)
    return bool(names & PERSONS or (names & PARTS and names & IDENTIFIERS))


def shows_several_images(name: str, values: Sequence[str], labels: Sequence[str]) -> bool:
    """Whether the values of a column, one per image, can be those of patients: some recur, but not for half a class.

    The second rule does not apply if the name is strong evidence, as `patient` or `lesion_id` is.
    """
    keys = [same_name(value) for value in values]
    groups = members_of(key for key in keys if key)
    if not groups or len(set(keys)) < 2 or set(keys) <= BOOLEANS:
        return False
    if _is_strong(_words(name)):
        return True
    files = [FileName("", "", label, "") for label in labels]
    return len(groups) >= MIN_VALUES and not implausible_groups(keys, files)


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
    known = PERSONS | PARTS | IDENTIFIERS | RECORDS
    if word in known or word.removesuffix("s") in known:
        return [word if word in known else word.removesuffix("s")]
    for end in sorted(IDENTIFIERS, key=len, reverse=True):
        start = word.removesuffix(end)
        if start != word and start in known:
            return [start, end]
    return [word]
