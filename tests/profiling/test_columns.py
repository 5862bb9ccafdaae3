"""The table of networks: order, marks, formats and columns."""

from __future__ import annotations

from helpers.profile_rows import rows
from torch import nn

from lightcnn.profiling import columns
from lightcnn.profiling.profile import profile


def test_tables_are_ordered_marked_and_escaped() -> None:
    table = rows()
    assert [row["name"] for row in columns.sort_rows(table, "-latency")] == ["other", "one|$&", "bare"]
    assert [row["name"] for row in columns.sort_rows(table, "latency")] == ["one|$&", "other", "bare"]
    names = ("name", "latency", "accuracy")
    assert columns.markdown(table, names).splitlines()[2:] == [
        r"| one\|$& | ~2 | 90.00% |", "| other | 4 | 80.00%* |", "| bare |  |  |",
    ]  # fmt: skip
    assert r"one|\$\& & \textasciitilde{}2 & 90.00\% \\" in columns.latex(table, names)
    assert columns.csv_table(table, ("name", "macs", "input")).decode().splitlines()[1] == (
        f"one|$&,{table[0]['macs']},{'x'.join(map(str, table[0]['input']))}"
    )
    assert "latency" not in columns.useful_columns(table[2:]) and "latency" in columns.useful_columns(table)
    assert "latency" not in columns.front_columns(table[2:]) and "latency" in columns.front_columns(table)
    assert set(columns.front_columns(table)) <= set(columns.useful_columns(table))


def test_every_column_reads_its_value() -> None:
    row = rows()[0]
    empty = {name for name, column in columns.COLUMNS.items() if column.value(row) is None}
    assert empty == {"flash_bytes", "arena_bytes", "resident", "resident_own", "ms_eager", "ms_onnx", "ms_onnx_int8"}


def test_each_of_several_runtimes_has_a_column() -> None:
    row = rows()[0]
    row["latencies"].append(row["latencies"][0] | {"runtime": "onnx", "median": 1.5, "unstable": False})
    names = columns.useful_columns([row])
    assert ("ms_folded" in names, "ms_onnx" in names, "ms_eager" in names, "latency" in names) == (
        True,
        True,
        False,
        False,
    )
    assert columns.row_cells(row, ("ms_folded", "ms_onnx")) == ["~2", "1.5"]


def test_activations_and_weights_are_shown_in_the_same_unit() -> None:
    row = rows()[0]
    names = columns.useful_columns([row])
    assert {"int8", "peak_int8"} <= set(names) and not {"peak", "fp32"} & set(names)
    fp32, int8, given = (columns.COLUMNS[name].value(row) for name in ("peak_fp32", "peak_int8", "peak"))
    assert (int8, fp32, given) == (row["peak_activations"], 4 * int8, 4 * int8)
    assert [columns.COLUMNS[name].title for name in ("int8", "peak_int8")] == [
        "weights int8, B",
        "peak activations int8, B",
    ]


def test_a_count_that_is_not_complete_is_marked_with_its_meaning() -> None:
    row = rows()[0] | {"unknown": {"DFT": 1}}
    assert columns.row_cells(row, ("macs", "params"))[0].endswith("†")
    assert columns.mark_lines([row])[-1].startswith("† at least so many")
    assert "†" not in "".join(columns.row_cells(rows()[0], ("macs", "macs_as_given")))


def test_counts_of_the_unfolded_network_are_marked_if_norms_are_folded() -> None:
    """1 to 4 channels on 6 × 6: 4 · 9 · 16 MACs; fvcore adds 2 per output of the norm that is not folded."""
    conv = nn.Conv2d(1, 4, 3, bias=False)
    folded, plain = (
        profile(model, (1, 6, 6)).document() for model in (nn.Sequential(conv, nn.BatchNorm2d(4)), nn.Sequential(conv))
    )
    names = ("params", "macs", "macs_as_given", "fvcore")
    assert columns.row_cells(folded, names) == ["44", "576", "576‡", "704‡"]
    assert columns.row_cells(plain, names) == ["36", "576", "576", "576"]
    assert [line[0] for line in columns.mark_lines([folded])] == ["‡"] and columns.mark_lines([plain]) == []
    assert "macs, weight bytes and peak activations are of the deployed network" in folded["notes"][-1]
    assert plain["notes"] == []
