"""Columns that look like patients: which names and values are mentioned, and which are not."""

from __future__ import annotations

import pytest

from lightcnn.data.grouping.identity_columns import identity_warnings, looks_like_identity

IDENTITIES = (
    "lesion_id", "patient_id", "PatientID", "patient-id", "Patient ID", "patientid", "patients", "subject", "case",
    "study", "StudyInstanceUID", "series", "slide_barcode", "well", "plate", "video_name", "visit", "MRN", "ID",
    "PID", "Patient's ID", "user_id", "Läsion", "eye", "numéro patient", "患者ID", "CASE_SUBMITTER_ID",
    "isic_patient", "hospital_id", "Hospital No", "patient_code", "subj", "study_uid", "ham_lesion_id",
    "src_subject_key", "tcia_PatientID", "anon patient ref", "medical_record_number", "nhs_number",
    "child", "player_name",
)  # fmt: skip
OTHERS = (
    "Patient Age", "patient_sex", "age", "image_id", "isic_id", "sha1", "source_path", "dx", "localization", "name",
    "code", "anatom_site_general", "StudyDate", "View Position", "Follow-up #", "family_history", "", "#",
    "filename", "width", "device_id", "camera", "site", "site_id", "label_id", "hospital", "hospital_name", "camera_id",
    "age_patient", "n_patients", "number of patients", "patient_is_smoker", "user_agent", "age_group_id", "batch",
    "blood_lesion", "scanner", "scanner_id", "medical", "class_id", "height",
)  # fmt: skip


@pytest.mark.parametrize("name", IDENTITIES)
def test_names_of_patients(name):
    assert looks_like_identity(name)


@pytest.mark.parametrize("name", OTHERS)
def test_other_names(name):
    assert not looks_like_identity(name)


LABELS = [str(i // 36) for i in range(72)]
LESIONS = [f"L{i // 3}" for i in range(72)]


def test_a_column_of_lesions_is_mentioned_with_its_values():
    (warning,) = identity_warnings({"lesion_id": LESIONS}, LABELS, [])
    assert (warning.code, warning.count) == ("identity_columns", 1)
    assert "'lesion_id' with 24 values for 72 images" in warning.message
    assert "rename it to 'group'" in warning.message


@pytest.mark.parametrize("name", ["isic_patient", "hospital_id", "patient_code", "subj", "study_uid", "case"])
def test_other_names_of_patients_are_mentioned_if_values_recur(name):
    (warning,) = identity_warnings({name: LESIONS}, LABELS, [])
    assert f"{name!r} with 24 values for 72 images" in warning.message
    assert identity_warnings({name: [f"p{i}" for i in range(72)]}, LABELS, []) == []


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("patient_id", [f"p{i}" for i in range(72)]),
        ("patient_id", [""] * 72),
        ("eye", ["left", "right"] * 36),
        ("case", [str(i // 36) for i in range(72)]),
        ("sample", [f"s{i % 4}" for i in range(72)]),
        ("new_patient", ["yes", "no"] * 36),
        ("hospital_id", [f"h{i // 36}" for i in range(72)]),
    ],
)
def test_values_that_cannot_be_patients_are_not_mentioned(name, values):
    assert identity_warnings({name: values}, LABELS, []) == []


def test_with_groups_only_columns_that_unite_groups_are_mentioned():
    groups = [str(i // 6) for i in range(72)]
    columns = {"lesion_id": LESIONS, "patient_id": [f"p{i // 12}" for i in range(72)], "subject": groups}
    (warning,) = identity_warnings(columns, LABELS, groups)
    assert warning.count == 1
    assert "'patient_id' with 6 values for 12 groups of the column 'group'" in warning.message
