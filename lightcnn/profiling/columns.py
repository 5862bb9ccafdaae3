"""The columns of the table of networks, and the table as Markdown, LaTeX, CSV and HTML. No torch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightcnn import csv_files
from lightcnn.budget import human
from lightcnn.cost import FLOAT_BYTES
from lightcnn.errors import InputError
from lightcnn.measurement.runtime_names import EAGER, FOLDED, ONNX, ONNX_INT8, RUNTIMES
from lightcnn.output.html import NumberCell
from lightcnn.text import not_one_of, visible

Row = Mapping[str, Any]
MARKS = {
    "~": "unstable: measured twice, the interquartile range is still over a fifth of the median",
    "*": "published in the paper of MicroMPoxNet, not ours: the paper augmented its images before splitting them",
    "‡": "of the network as given, in which norms are not folded: budgets limit MACs, those of the folded network",
    "†": "at least so many: operators of this network are unknown and not counted",
}
"""Marks of values in a table, and what they mean."""


@dataclass(frozen=True)
class Column:
    """A column: its title, its value in a row of report.json (None: empty), and how the value is written."""

    title: str
    value: Callable[[Row], Any]
    text: Callable[[Any], str]


def _at(*keys: str) -> Callable[[Row], Any]:
    """A function that reads a nested value of a row; None if a part of it is None."""

    def read(row: Row) -> Any:
        value: Any = row
        for key in keys:
            value = None if value is None else value[key]
        return value

    return read


def _median(runtime: str) -> Callable[[Row], Any]:
    """A function that reads the median latency in a runtime."""
    return lambda row: next((latency["median"] for latency in row["latencies"] if latency["runtime"] == runtime), None)


def _digits(value: float) -> str:
    return f"{value:.4g}" if value < 1000 else f"{value:,.0f}"


COLUMNS: dict[str, Column] = {
    "name": Column("network", _at("name"), str),
    "source": Column("source", _at("source"), str),
    "input": Column("input", _at("input"), lambda value: "×".join(map(str, value))),
    "params": Column("params", _at("params"), human),
    "params_with_buffers": Column("params, Keras", _at("params_with_buffers"), human),
    "params_deployed": Column("params, deployed", _at("params_deployed"), human),
    "macs": Column("MACs", _at("macs"), human),
    "macs_as_given": Column("MACs as given", _at("macs_as_given"), human),
    "fvcore": Column("fvcore", _at("fvcore"), human),
    "thop": Column("thop", _at("thop"), human),
    "torch": Column("torch", _at("torch"), human),
    "fp32": Column("weights fp32, B", _at("weight_bytes", "fp32"), human),
    "int8": Column("weights int8, B", _at("weight_bytes", "int8"), human),
    "file": Column("file, B", _at("file_bytes"), human),
    "keras": Column("Keras file with Adam, B", _at("keras_adam_bytes"), human),
    "peak_int8": Column("peak activations int8, B", _at("peak_activations"), human),
    "peak_fp32": Column("peak activations fp32, B", lambda row: FLOAT_BYTES * row["peak_activations"], human),
    "peak": Column("peak activations in own types, B", _at("peak_activation_bytes"), human),
    "flash_bytes": Column("flash of C, B", lambda row: row.get("flash_bytes"), human),
    "arena_bytes": Column("arena of C, B", lambda row: row.get("arena_bytes"), human),
    "resident": Column("peak resident, B", _at("peak_resident_bytes", "process"), human),
    "resident_own": Column("network resident, B", _at("peak_resident_bytes", "own"), human),
    "latency": Column("ms, median", _at("latency_ms", "median"), _digits),
    "p95": Column("ms, p95", _at("latency_ms", "p95"), _digits),
    "iqr": Column("ms, IQR", _at("latency_ms", "iqr"), _digits),
    "runs": Column("runs", _at("latency_ms", "runs"), str),
    "runtime": Column("runtime", _at("latency_ms", "runtime"), str),
    "ms_folded": Column("ms, folded", _median(FOLDED), _digits),
    "ms_eager": Column("ms, eager", _median(EAGER), _digits),
    "ms_onnx": Column("ms, ONNX", _median(ONNX), _digits),
    "ms_onnx_int8": Column("ms, ONNX int8", _median(ONNX_INT8), _digits),
    "throughput": Column("images/s", _at("images_per_second"), _digits),
    "accuracy": Column("accuracy", _at("accuracy", "value"), lambda value: f"{value:.2%}"),
    "accuracy_source": Column("accuracy from", _at("accuracy", "source"), str),
    "per_megabyte": Column("accuracy per MB", _at("accuracy_per_megabyte"), _digits),
    "per_second": Column("accuracy per s", _at("accuracy_per_second"), _digits),
}
"""Every column by the name that `--columns` and `--sort` take."""
DEFAULT_COLUMNS = (
    "name", "params", "params_with_buffers", "macs", "fvcore", "thop", "torch", "int8", "peak_int8", "flash_bytes",
    "arena_bytes", "latency", "p95", "ms_folded", "ms_eager", "ms_onnx", "ms_onnx_int8", "throughput", "accuracy",
)  # fmt: skip
FRONT_COLUMNS = ("name", "params", "macs", "int8", "peak_int8", "latency", "accuracy")
"""The columns that a page shows first, which fit a screen; it has all others folded away."""
RUNTIME_COLUMNS = {f"ms_{runtime.replace('-', '_')}": runtime for runtime in RUNTIMES}
"""Column → its runtime; these columns replace `latency` and `p95` if networks were timed in several runtimes."""
UNFOLDED_COLUMNS = ("macs_as_given", "fvcore", "thop", "torch")
"""Columns that count the network as given."""
TEXT_COLUMNS = ("name", "source", "accuracy_source", "input", "runtime")
"""Columns that are aligned to the left."""


def require_columns(names: Sequence[str], option: str) -> tuple[str, ...]:
    """The names as a tuple. Raises: InputError for an unknown column; it suggests the nearest name."""
    for name in names:
        if name not in COLUMNS:
            raise InputError(f"{option}: {not_one_of(name, COLUMNS)}")
    return tuple(names)


def useful_columns(rows: Sequence[Row]) -> tuple[str, ...]:
    """The default columns that are not empty in all rows, with one latency per runtime if several were used."""
    several = len({latency["runtime"] for row in rows for latency in row["latencies"]}) > 1
    excluded = ("latency", "p95") if several else tuple(RUNTIME_COLUMNS)
    names = [name for name in DEFAULT_COLUMNS if name not in excluded]
    return tuple(name for name in names if any(COLUMNS[name].value(row) is not None for row in rows))


def front_columns(rows: Sequence[Row]) -> tuple[str, ...]:
    """The first columns of a page that are not empty in all rows."""
    return tuple(name for name in FRONT_COLUMNS if any(COLUMNS[name].value(row) is not None for row in rows))


def sort_rows(rows: Sequence[Row], by: str | None) -> list[Row]:
    """The rows sorted by a column, in descending order if a minus precedes its name; rows without a value are last."""
    if by is None:
        return list(rows)
    value = COLUMNS[by.removeprefix("-")].value
    with_value = [row for row in rows if value(row) is not None]
    return sorted(with_value, key=value, reverse=by.startswith("-")) + [row for row in rows if value(row) is None]


def row_cells(row: Row, names: Sequence[str]) -> list[str]:
    """The cells of a row as text, marked as in `MARKS`."""
    cells = []
    for name in names:
        value = COLUMNS[name].value(row)
        text = "" if value is None else visible(COLUMNS[name].text(value))
        if value is not None and _unstable(row, name):
            text = f"~{text}"
        if name in ("accuracy", "per_megabyte", "per_second") and value is not None:
            text += "*" if row["accuracy"]["source"].startswith("published") else ""
        text += "‡" if name in UNFOLDED_COLUMNS and value is not None and is_folded(row) else ""
        text += "†" if name in ("macs", "macs_as_given") and row["unknown"] else ""
        cells.append(text)
    return cells


def is_folded(row: Row) -> bool:
    """Whether the deployed network differs from the network as given, since norms are folded."""
    return bool(row["params_deployed"] != row["params"])


def mark_lines(rows: Sequence[Row], names: Collection[str] = COLUMNS) -> list[str]:
    """The meaning of each mark that the rows have in these columns."""
    used = {
        "~": any(latency["unstable"] for row in rows for latency in row["latencies"]),
        "*": any(row["accuracy"] and row["accuracy"]["source"].startswith("published") for row in rows),
        "‡": any(map(is_folded, rows)) and not set(names).isdisjoint(UNFOLDED_COLUMNS),
        "†": any(row["unknown"] for row in rows),
    }
    return [f"{mark} {meaning}" for mark, meaning in MARKS.items() if used[mark]]


def _unstable(row: Row, name: str) -> bool:
    """Whether the column is a latency of the row that is unstable."""
    if name in ("latency", "p95"):
        return bool(row["latency_ms"]["unstable"])
    return any(latency["unstable"] for latency in row["latencies"] if latency["runtime"] == RUNTIME_COLUMNS.get(name))


def markdown(rows: Sequence[Row], names: Sequence[str]) -> str:
    """A table in Markdown, with numbers aligned to the right."""
    rules = [":--" if name in TEXT_COLUMNS else "--:" for name in names]
    lines = [[COLUMNS[name].title for name in names], rules, *(row_cells(row, names) for row in rows)]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def latex(rows: Sequence[Row], names: Sequence[str]) -> str:
    """A table in LaTeX that uses the package booktabs."""
    shape = "".join("l" if name in TEXT_COLUMNS else "r" for name in names)
    head = " & ".join(_tex(COLUMNS[name].title) for name in names)
    body = "".join(f"{' & '.join(map(_tex, row_cells(row, names)))} \\\\\n" for row in rows)
    return f"\\begin{{tabular}}{{{shape}}}\n\\toprule\n{head} \\\\\n\\midrule\n{body}\\bottomrule\n\\end{{tabular}}\n"


def csv_table(rows: Sequence[Row], names: Sequence[str]) -> bytes:
    """A CSV table with unrounded numbers; its header has the columns' names."""
    values = [[COLUMNS[name].value(row) for name in names] for row in rows]
    cells = [["x".join(map(str, v)) if isinstance(v, list) else v for v in row] for row in values]
    return csv_files.write([names, *cells])


def table(rows: Sequence[Row], names: Sequence[str]) -> dict[str, Any]:
    """The `header` and `rows` of an HTML table."""
    cells = [
        [_format_cell(COLUMNS[name].value(row), text) for name, text in zip(names, row_cells(row, names), strict=True)]
        for row in rows
    ]
    return {"header": [COLUMNS[name].title for name in names], "rows": cells}


def _format_cell(value: Any, text: str) -> NumberCell | str:
    return NumberCell(text, value) if isinstance(value, (int, float)) else text


def _tex(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "×": r"$\times$"}
    return "".join(special.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)
