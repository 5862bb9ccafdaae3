"""The table of networks: order, marks, formats and columns."""

from __future__ import annotations

from helpers.profile_rows import rows

from lightcnn.profiling import columns


def test_tables_are_ordered_marked_and_escaped() -> None:
    table = rows()
    assert [row["name"] for row in columns.sort_rows(table, "-latency")] == ["other", "one|$&", "bare"]
    assert [row["name"] for row in columns.sort_rows(table, "latency")] == ["one|$&", "other", "bare"]
    names = ("name", "latency", "accuracy")
    assert columns.markdown(table, names).splitlines()[2:] == [
        r"| one\|$& | ~2 | 90.00% |", "| other | 4 | 80.00%* |", "| bare |  |  |",
    ]  # fmt: skip
    assert r"one|\$\& & \textasciitilde{}2 & 90.00\% \\" in columns.latex(table, names)
    assert columns.csv_table(table, ("name", "macs", "input")).splitlines()[1] == (
        f"one|$&,{table[0]['macs']},{'x'.join(map(str, table[0]['input']))}"
    )
    assert "latency" not in columns.useful_columns(table[2:]) and "latency" in columns.useful_columns(table)


def test_every_column_reads_its_value() -> None:
    row = rows()[0]
    empty = {name for name, column in columns.COLUMNS.items() if column.value(row) is None}
    assert empty == {"resident", "resident_own", "ms_eager", "ms_onnx", "ms_onnx_int8"}


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
