"""CSV is safe in spreadsheets, and is read back unchanged."""

from __future__ import annotations

import itertools

import pytest

from lightcnn import csv_files


@pytest.mark.parametrize(
    "formula", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", " =1", "\t=1", "\r=1", "＝1", "a;=1"]
)
def test_a_formula_is_guarded_in_every_cell(formula: str) -> None:
    header, row = csv_files.write([(formula, "p_x"), ("path", formula)]).decode().replace('"', "").split("\n", 1)
    before = formula.partition(";")[0] + ";" if ";" in formula else ""
    assert header.startswith(before + "'")
    assert row.startswith(f"path,{before}'")


@pytest.mark.parametrize("number", ["-0.5", "+1", "-1e-05", "12", "0.12345678"])
def test_numbers_are_not_changed(number: str) -> None:
    assert csv_files.write([(number, float(number))]).decode() == f"{number},{float(number)}\n"


def test_every_short_text_is_read_back_unchanged() -> None:
    texts = ["".join(letters) for letters in itertools.product("'=-;\t\r\n 1a", repeat=4)]
    assert csv_files.read(csv_files.write([("text", "p_=1"), *((text, "x") for text in texts)])) == [
        {"text": text, "p_=1": "x"} for text in texts
    ]
    assert len(texts) == 10_000


def test_a_name_that_is_not_utf8_is_written_with_its_bytes() -> None:
    content = csv_files.write([("path",), ("caf\udce9.png",)])
    assert content == b"path\ncaf\xe9.png\n"
    assert csv_files.read(content) == [{"path": "caf\udce9.png"}]


@pytest.mark.parametrize("content", [b"", b'path\n"a', b"path\n" + 200_000 * b"a"])
def test_what_is_no_csv_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"not enough values|unexpected end|field larger"):
        csv_files.read(content)
