"""Files that share a name up to its first dot are a sample; its label is in .cls or .json."""

from __future__ import annotations

import json

import pytest
from helpers.shards import image_bytes, sample, write_samples, write_tar

from lightcnn.data.shards import samples as module
from lightcnn.data.shards.labels import MAX_JSON_BYTES
from lightcnn.data.shards.samples import Ignored, Sample, samples
from lightcnn.errors import DataError

IMAGE = image_bytes(0)


def read(folder, *members):
    return list(samples(write_tar(folder / "x.tar", members)))


def test_a_sample_is_an_image_with_its_label_and_group(tmp_path):
    facts = json.dumps({"label": 3, "group": "p 7", "patient_id": 12, "age": 40, "boxes": [1]}).encode()
    first, second = samples(write_samples(tmp_path / "x.tar", [sample("d/a", " cat\n"), sample("d/b", None, 1, facts)]))
    assert (first.image.name, first.facts) == ("d/a.png", ("cat", "", ()))
    assert (second.image.name, second.facts) == ("d/b.png", ("3", "p 7", (("patient_id", "12"),)))
    content = (tmp_path / "x.tar").read_bytes()
    assert content[second.image.offset :][: second.image.size] == image_bytes(1)


def test_the_key_ends_at_the_first_dot_and_suffixes_have_any_case(tmp_path):
    listed = read(
        tmp_path, ("a.PNG", IMAGE), ("a.mask.png", IMAGE), ("a.CLS", b"0"), ("a.txt", b"x"), ("readme", b"x"),
        ("meta.json", b"not read"), (".hidden.png", IMAGE), ("__index__.json", b"x"), ("__MACOSX/b.png", IMAGE),
    )  # fmt: skip
    assert [each.image.name for each in listed if isinstance(each, Sample)] == ["a.PNG"]
    assert [each.name for each in listed if isinstance(each, Ignored)] == ["a.mask.png", "a.txt", "readme", "meta.json"]


def test_equal_labels_in_cls_and_json_agree(tmp_path):
    (only,) = read(tmp_path, *sample("a", "1", json=b'{"label": 1}').items())
    assert only.facts.label == "1"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("a.png", IMAGE)], "'a.png' has no label; add KEY.cls, or KEY.json with the key label"),
        ([("a.png", IMAGE), ("a.json", b"{}")], "'a.png' has no label"),
        ([("a.png", IMAGE), ("a.cls", b"0"), ("a.json", b'{"label": 1}')], r"label '0' in \.cls and '1' in \.json"),
        ([("a.png", IMAGE), ("a.jpg", IMAGE), ("a.cls", b"0")], r"'a.jpg' is the second image of sample 'a', beside"),
        ([("a.png", IMAGE), ("a.cls", b"0"), ("a.png", IMAGE)], "'a.png' occurs twice in sample 'a'; keep one"),
        ([("a.png", IMAGE), ("a.cls", b"0"), ("b.png", IMAGE), ("b.cls", b"0"), ("a.txt", b"")], "are further up"),
        ([("a.heic", IMAGE), ("a.cls", b"0")], "'a.cls' is the label of sample 'a', which has no image; add an image"),
        ([("a.png", IMAGE), ("a.cls", b"")], "'a.cls' label: '' is not a label; write one line"),
        ([("a.png", IMAGE), ("a.cls", b"nan")], "label: 'nan' is not a label"),
        ([("a.png", IMAGE), ("a.cls", b"a\nb")], r"label: 'a\\nb' is not a label"),
        ([("a.png", IMAGE), ("a.cls", b"\xff")], "'a.cls' is not UTF-8 text; write a number or a name"),
        ([("a.png", IMAGE), ("a.cls", b"x" * 1_001)], "not a label; write one line of printable text, at most 1,000"),
        ([("a.png", IMAGE), ("a.cls", b"x" * 5_000)], "has 5,000 bytes, too many for a label"),
        ([("a.png", IMAGE), ("a.json", b"{")], "'a.json' is not valid JSON; correct it"),
        ([("a.png", IMAGE), ("a.json", b"[" * 100_000)], "'a.json' is not valid JSON"),
        ([("a.png", IMAGE), ("a.json", b"[1]")], "'a.json' is not a JSON object"),
        ([("a.png", IMAGE), ("a.json", b'{"label": 1.5}')], "label: 1.5 is neither a text nor a whole number"),
        ([("a.png", IMAGE), ("a.json", b'{"label": true}')], "label: true is neither"),
        ([("a.png", IMAGE), ("a.json", b'{"label": "a", "group": [1]}')], r"group: \[1\] is neither"),
        ([("a.png", IMAGE), ("a.json", b'{"label": "a", "group": ""}')], "group: '' is not a group"),
        ([("a.png", IMAGE), ("a.json", b" " * (MAX_JSON_BYTES + 1))], "1,000,001 bytes, more than 1,000,000"),
    ],
)  # fmt: skip
def test_a_faulty_sample_is_one_clear_error(tmp_path, members, message):
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, *members)
    assert str(caught.value).startswith(f"data {tmp_path / 'x.tar'}: member ")
    assert "\n" not in str(caught.value)


def test_the_size_of_an_image_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_IMAGE_BYTES", len(IMAGE))
    assert len(read(tmp_path, ("a.png", IMAGE), ("a.cls", b"0"))) == 1
    with pytest.raises(DataError, match=r"'a\.png' has .* bytes, more than .*; write a smaller image"):
        read(tmp_path, ("a.png", IMAGE + b"x"), ("a.cls", b"0"))
