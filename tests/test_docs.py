"""The pages agree with the code: commands, options, links, YAML examples, generated parts, the README's commands."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from enum import EnumType
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import typer
from helpers.paths import ROOT
from test_layers import LEVELS

import lightcnn
from lightcnn import cli as command_modules
from lightcnn import document
from lightcnn.cli import main
from lightcnn.cli.catalogue import check_file, kind_of
from lightcnn.errors import DocumentError

pytestmark = pytest.mark.usefixtures("undrawn_charts")

CONTRACT = ROOT / "docs" / "reference" / "contract.md"
REFERENCE = ROOT / "docs" / "reference" / "python.md"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = {".md", ".py", ".yaml", ".yml", ".toml", ".json", ".cff", ".txt", ".cfg", ".ini", ".sh", ""}
FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:work|tmp|root|home)(?:/|\b)")


def fenced(page: Path, language: str) -> list[str]:
    """The texts of all fenced blocks of a page in one language."""
    return [text for name, text in FENCE.findall(page.read_text(encoding="utf-8")) if name == language]


def commands() -> dict[str, Any]:
    """Command line → typer's own command object, `lightcnn` itself included."""
    root: Any = typer.main.get_command(main.app)
    return {"lightcnn": root, **{f"lightcnn {name}": command for name, command in root.commands.items()}}


def options(command: Any) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts if name.startswith("--")}


def documented() -> dict[str, str]:
    """Command line → its line in the contract."""
    (block,) = fenced(CONTRACT, "commands")
    return {" ".join(re.match(r"lightcnn( [a-z]+(?= ))?", line)[0].split()): line for line in block.splitlines()}  # type: ignore[index]


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_there_are_as_many_pages_as_we_think() -> None:
    folders = ("docs", "docs/guides", "docs/concepts", "docs/reference", "docs/decisions")
    counts = {folder: len(list((ROOT / folder).glob("*.md"))) for folder in folders}
    assert counts == {"docs": 3, "docs/guides": 6, "docs/concepts": 20, "docs/reference": 4, "docs/decisions": 19}


def test_the_contract_has_one_line_for_every_command() -> None:
    (block,) = fenced(CONTRACT, "commands")
    assert documented().keys() == commands().keys()
    assert len(block.splitlines()) == len(commands())


@pytest.mark.parametrize("name", commands())
def test_the_contract_lists_every_option_of_a_command(name: str) -> None:
    assert set(re.findall(r"--[a-z-]+", documented()[name])) == options(commands()[name])


def test_the_contract_lists_every_choice() -> None:
    (block,) = fenced(CONTRACT, "commands")
    modules = [import_module(f"lightcnn.cli.{module.name}") for module in iter_modules(command_modules.__path__)]
    kinds = {value for module in modules for value in vars(module).values() if isinstance(value, EnumType)}
    choices = {kind for kind in kinds if kind.__module__.startswith("lightcnn.cli.")}
    assert {"Strategy", "Device", "Listing"} <= {kind.__name__ for kind in choices}
    for kind in choices:
        listed = "|".join(choice.value for choice in kind)
        assert re.search(rf"(?<![\w|]){re.escape(listed)}(?![\w|])", block), f"{kind.__name__}: {listed}"


def test_the_pages_name_no_option_that_is_not_there() -> None:
    known = commands()
    lines = [
        (page, line)
        for page in PAGES
        for block in fenced(page, "sh")
        for line in re.split(r"\n|&&", block)
        if re.search(r"(^|[/\s])lightcnn ", line.strip())
    ]
    assert len(lines) >= 8
    for page, line in lines:
        words = shlex.split(line[line.index("lightcnn") :])
        name = " ".join(words[:2])
        assert name in known, f"{page.name}: {line}"
        assert {word for word in words if word.startswith("--")} <= options(known[name]), f"{page.name}: {line}"


def test_the_budgets_in_the_pages_can_be_read() -> None:
    from lightcnn.budget import Budget

    budgets = {
        text for page in PAGES for text in re.findall(r"--budget ([0-9][\w.,-]*)", page.read_text(encoding="utf-8"))
    }
    assert "1MFLOPs" in budgets
    for text in budgets:
        assert Budget.parse(text).limits


def test_the_tables_of_a_run_have_the_columns_of_the_contract() -> None:
    from lightcnn.auditing.job import GROUP_COLUMNS
    from lightcnn.explaining.results import COLUMNS as CHECK_COLUMNS
    from lightcnn.searching.report.trial_table import TRIAL_COLUMNS
    from lightcnn.training.report.report import METRIC_COLUMNS

    (block,) = fenced(CONTRACT, "columns")
    tables = dict(line.split(": ") for line in block.splitlines())
    assert tables.keys() == {"trials.csv", "metrics.csv", "predictions.csv", "groups.csv", "explanations.csv"}
    assert next(csv.reader(io.StringIO(tables["trials.csv"]))) == list(TRIAL_COLUMNS)
    assert next(csv.reader(io.StringIO(tables["groups.csv"]))) == list(GROUP_COLUMNS)
    assert next(csv.reader(io.StringIO(tables["explanations.csv"]))) == list(CHECK_COLUMNS)
    assert next(csv.reader(io.StringIO(tables["metrics.csv"]))) == list(METRIC_COLUMNS)


def test_the_contract_shows_the_costs_keys() -> None:
    from lightcnn.budget import RESOURCES, Cost

    (block,) = fenced(CONTRACT, "json")
    report = json.loads(block)
    assert report["network"]["cost"] == Cost().document()
    assert report["budget"].keys() <= RESOURCES.keys()
    assert all(f"`{name}`" in CONTRACT.read_text(encoding="utf-8") for name in RESOURCES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_resolves(page: Path) -> None:
    for target in LINK.findall(without_code(page.read_text(encoding="utf-8"))):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{target} does not exist"
        assert not anchor or anchor in anchors(file), f"{target}: there is no such heading"


def test_the_index_names_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    targets = [target for target in LINK.findall(index.read_text(encoding="utf-8")) if not target.startswith("#")]
    notebook = ROOT / "docs" / "guides" / "notebook.ipynb"
    linked = {(index.parent / target).resolve() for target in targets} - {ROOT / "CONTRIBUTING.md", notebook}
    assert linked == {page for page in PAGES if page.is_relative_to(index.parent)} - {index}


def test_the_yaml_documents_of_the_concepts_are_valid(tmp_path: Path) -> None:
    kinds = []
    for page in sorted((ROOT / "docs" / "concepts").glob("*.md")):
        for text in fenced(page, "yaml"):
            try:
                kind = kind_of(document.keys(text))
            except DocumentError:
                kind = "unknown"
            if kind == "unknown":
                continue
            file = tmp_path / f"{page.stem}-{len(kinds)}.yaml"
            file.write_text(text, encoding="utf-8")
            assert check_file(file)["errors"] == []
            kinds.append(kind)
    assert kinds == ["changes", "baseline", "space", "spec"]


def test_the_pages_quote_what_the_commands_print(capsys: pytest.CaptureFixture[str]) -> None:
    from lightcnn.cost import cost
    from lightcnn.spec import NetworkSpec

    quoted = {page.stem: fenced(page, "") for page in (ROOT / "docs" / "concepts").glob("*.md")}
    assert main.run(["search", "--budget", "1MFLOPs", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    # The plan depends on the speed of the machine.
    assert printed.partition("plan: ")[0] in [block.partition("plan: ")[0] for block in quoted["search"]]
    assert re.findall(r"^first +(.*\n)", printed, re.MULTILINE) == quoted["spaces"]
    assert main.run(["search", "--budget", "1kFLOPs", "--dry-run"]) == 2
    assert capsys.readouterr().err in quoted["budgets"]
    assert f"{cost(NetworkSpec.load(ROOT / 'tests' / 'golden' / 'mobilenetv2.yaml'))}\n" in quoted["costs"]


def test_the_pages_quote_the_errors_of_a_bad_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text(
        "input: [3, 32, 32]\nstages:\n  - {kind: conv, widht: 16}\n  - {kind: mbcnv, width: 16}\nclasses: 10\n"
    )
    (quoted,) = [text for text in fenced(ROOT / "docs" / "concepts" / "specs.md", "") if "bad.yaml" in text]
    assert check_file(Path("bad.yaml"))["errors"] == quoted.splitlines()


def test_the_table_of_blocks_has_every_key_of_every_kind() -> None:
    from lightcnn.spec import BLOCKS

    page = (ROOT / "docs" / "concepts" / "specs.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|$", page, re.MULTILINE))
    assert rows.keys() == BLOCKS.keys()
    for kind, block in BLOCKS.items():
        assert re.findall(r"`(\w+)`", rows[kind]) == [name for name in block.model_fields if name != "kind"]


def test_the_table_of_augmentations_has_every_setting_of_every_preset() -> None:
    from lightcnn.recipe import PRESETS, Augment

    page = (ROOT / "docs" / "concepts" / "augmentation.md").read_text(encoding="utf-8")
    header, _, *rows = [
        [cell.strip(" `") for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")
    ]
    assert header[3:] == list(PRESETS)
    assert [row[0] for row in rows] == list(Augment.model_fields)
    for number, preset in enumerate((Augment(), *PRESETS.values())):
        values = dict(preset)
        for name, _, *cells in rows:
            value = values[name]
            text = "" if value is None else str(value).lower() if isinstance(value, bool) else f"{value:g}"
            assert cells[number] == text, name


def test_the_table_of_training_has_every_setting_and_its_default() -> None:
    from lightcnn.recipe import Optimisation

    page = (ROOT / "docs" / "concepts" / "training.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", page, re.MULTILINE))
    assert list(rows) == list(Optimisation.model_fields)
    for name, value in Optimisation():
        first = rows[name].split(",")[0].strip("` ")
        assert first == ("–" if value is None else value if isinstance(value, str) else f"{value:g}"), name


def test_the_tables_of_baselines_have_every_key_and_every_baseline() -> None:
    from lightcnn.baseline_spec import BASELINES, BaselineSpec

    page = (ROOT / "docs" / "concepts" / "baselines.md").read_text(encoding="utf-8")
    tables = [
        [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in block.splitlines()[2:]]
        for block in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE)
    ]
    keys, baselines = tables
    assert [row[0] for row in keys] == list(BaselineSpec.model_fields)
    for name, _, default in keys:
        field = BaselineSpec.model_fields[name]
        assert default == ("needed" if field.is_required() else str(field.default).lower().strip("()"))
    assert [row[0] for row in baselines] == list(BASELINES)
    for name, *cells in baselines:
        entry = BASELINES[name]
        printed = f"{entry.published:.2f} M" if entry.published else ""
        assert cells == [entry.title, entry.timm, str(entry.features), f"{entry.total:,}", printed]


def test_the_python_examples_compile() -> None:
    examples = [text for page in PAGES if page != REFERENCE for text in fenced(page, "python")]
    signatures = fenced(REFERENCE, "python")
    assert len(examples) == 29
    assert len(signatures) > 40
    for text in signatures:
        compile(text, "signature", "exec")
    for text in examples:
        compile(text, "example", "exec")
        for line in text.splitlines():
            if line.startswith("from lightcnn"):
                exec(line, {})


def test_the_python_section_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its example as it is printed, with a few seconds in place of ten minutes, and its sentence about timm."""
    import timm
    from sklearn.datasets import load_digits

    (example,) = fenced(ROOT / "README.md", "python")
    assert 'time="10m"' in example
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(example.replace('time="10m"', 'time="2s"'), names)
    digits = load_digits()
    images, labels = (digits.images[:400] * 15).astype(np.uint8), digits.target_names[digits.target[:400]]
    classes = list(names["classify"](images, labels, images[:3]))
    assert len(classes) == 3 and set(classes) <= {str(number) for number in range(10)}
    (folder,) = (tmp_path / "runs").iterdir()
    name = f"mine{tmp_path.name.replace('-', '_')}"  # timm keeps it to the end of the process
    shutil.move(folder, tmp_path / "runs" / name)
    assert lightcnn.register_timm(f"runs/{name}") == f"lightcnn_{name}"
    assert isinstance(timm.create_model(f"lightcnn_{name}", pretrained=True), torch.nn.Module)


@pytest.fixture(scope="module")
def generators() -> dict[str, ModuleType]:
    """The scripts in docs/ that write pages, by their names."""
    names = ("generate_reference", "generate_pages")
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        return {name: import_module(name) for name in names}
    finally:
        sys.path.remove(str(ROOT / "docs"))


def test_the_generated_pages_are_up_to_date(generators: dict[str, ModuleType]) -> None:
    pages = generators["generate_pages"].pages()
    assert [path.name for path in pages] == ["python.md", "architecture.md", "warnings.md", "CONTRIBUTING.md"]
    for path, text in pages.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run `python docs/generate_pages.py`"


def test_the_reference_has_every_public_name() -> None:
    headings = re.findall(r"^### (?:lightcnn\.)?(\w+)$", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(headings) == sorted({*lightcnn.__all__, "LightCNNClassifier"} - {"__version__"})


def test_the_sections_of_a_docstring_become_lists(generators: dict[str, ModuleType]) -> None:
    def scale(width: float, *, names: Sequence[str] = (), key: Callable[[int], int] = abs) -> int:
        """Scales a network.

        A second paragraph.

        Args:
            width (float): a factor of all widths,
                above 0.
            names: stages to scale.

        Returns:
            The number of stages.

        Raises:
            InputError: if a name is unknown.

        Example:
            >>> scale(2.0)
            0
        """

    generator = generators["generate_reference"]
    expected = """Scales a network.

A second paragraph.

**Args**

- `width` (float): a factor of all widths, above 0.
- `names`: stages to scale.

**Returns**

The number of stages.

**Raises**

- `InputError`: if a name is unknown.

```pycon
>>> scale(2.0)
0
```
"""
    assert generator.docstring(scale) == expected
    assert generator.signature("scale", scale) == (
        "def scale(width: float, *, names: Sequence[str] = (), key: Callable[[int], int] = abs) -> int: ..."
    )
    assert generator.summary(scale) == "Scales a network."


def test_the_word_list_is_shown_as_words(generators: dict[str, ModuleType]) -> None:
    spellings = generators["generate_pages"].spellings
    assert spellings("red|blue") == ["red", "blue"]
    assert spellings("mix(?:es)? in|shades?") == ["mix in", "mixes in", "shade", "shades"]
    assert spellings(r"a (?:b|c|d) (?!x)|tones?(?!-in)|e") == ["a b", "a c", "a d", "tone", "…"]


def test_the_architecture_describes_every_part() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    parts = {part for level in LEVELS for part in level if not part.startswith("__")}
    packages = {part for part in parts if (ROOT / "lightcnn" / part).is_dir()} - {"cli"}
    assert set(re.findall(r"^\*\*`(\w+)`\*\*", page, re.MULTILINE)) == packages
    assert parts <= set(re.findall(r"`(\w+)`", page))
    modules = set(re.findall(r"^(?:  ){1,2}([a-z_]+(?:\.[a-z_]+)?) {2,}\S", page, re.MULTILINE))
    assert {"searching.plan", "engine.checkpoints"} <= modules
    for name in modules:
        path = ROOT / "lightcnn" / Path(*name.split("."))
        assert path.is_dir() or path.with_suffix(".py").is_file(), f"{name} is not a module"


def test_the_readme_has_one_row_for_every_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[`(lightcnn \w+)`\]\(docs/", readme, re.MULTILINE)
    assert len(rows) == len(set(rows))
    assert set(rows) == commands().keys() - {"lightcnn"}


def test_the_screenshots_in_the_readme_are_small() -> None:
    targets = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(targets) == 2
    for target in targets:
        assert 20_000 < (ROOT / target).stat().st_size <= 200_000


def test_no_file_names_a_path_of_our_machines() -> None:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a clone: which files are tracked is not known")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = [
        name for name in listed.split("\0") if name and not name.startswith("tests/") and Path(name).suffix in TEXT
    ]
    assert len(names) > 50
    for name in names:
        file = ROOT / name
        match = MACHINE_PATH.search(file.read_text(encoding="utf-8")) if file.is_file() else None
        assert not match, f"{name}: {match and match[0]}"


def test_the_search_for_machine_paths_finds_them() -> None:
    assert all(MACHINE_PATH.search(text) for text in ("in /tmp/x", "`/home/me`", "(/root)", "/work/main"))
    assert not MACHINE_PATH.search("https://example.org/home and runs/work/tmp")


def test_the_citation_has_our_version() -> None:
    lines = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    assert "cff-version: 1.2.0" in lines
    assert f"version: {lightcnn.__version__}" in lines


def test_the_citation_has_what_the_format_requires() -> None:
    assert {"cff-version", "message", "title", "authors"} <= document.keys(
        (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    )


def marked(marker: str, text: str) -> list[str]:
    """The lines of the fenced block after `<!-- marker -->`."""
    blocks = re.findall(rf"^<!-- {marker} -->\n+```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_the_readme_has_its_two_commands_each_in_one_line() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (run,), (test,) = marked("run", readme), marked("test", readme)
    assert run.endswith("lightcnn search --budget 1MFLOPs")
    assert test.endswith("-m pytest -n 2 --dist loadfile")


def ci(folder: Path, readme: str) -> subprocess.CompletedProcess[str]:
    """`.ci/run` of this clone on another README, with an old virtual environment; nothing is installed."""
    (folder / ".ci").mkdir()
    (folder / ".venv").mkdir()
    shutil.copy(ROOT / ".ci" / "run", folder / ".ci" / "run")
    system = folder / ".ci" / "system"
    system.write_text("#!/usr/bin/env bash\ntest -e .venv && echo installed > packages\n", encoding="utf-8")
    system.chmod(0o755)
    (folder / "README.md").write_text(readme, encoding="utf-8")
    return subprocess.run([str(folder / ".ci" / "run")], capture_output=True, text=True, timeout=30)


needs_bash = pytest.mark.skipif(
    not (ROOT / ".ci").is_dir() or not all(map(shutil.which, ("bash", "awk"))), reason="needs a clone, bash and awk"
)


@needs_bash
def test_ci_runs_the_readmes_test_command_in_a_fresh_folder(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (command,) = marked("test", readme)
    process = ci(tmp_path, readme.replace(command, "test ! -e .venv && cat packages > it && (exit 7)"))
    assert process.returncode == 7, process.stderr
    assert (tmp_path / "it").read_text() == "installed\n", "the system packages come first"


@needs_bash
def test_ci_needs_no_system_packages(tmp_path: Path) -> None:
    """A machine without apt-get gets a warning."""
    (tmp_path / "bash").symlink_to(str(shutil.which("bash")))
    process = subprocess.run(
        [str(ROOT / ".ci" / "system")], env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=30
    )
    assert process.returncode == 0
    assert "warning: could not install chromium" in process.stderr


@needs_bash
@pytest.mark.parametrize(
    "readme",
    [
        "nothing\n",
        "<!-- test -->\n```sh\n```\n",
        "<!-- test -->\n```sh\ntouch one\ntouch two\n```\n",
        "<!-- test -->\n```sh\ntouch one\n```\n\n<!-- test -->\n```sh\ntouch two\n```\n",
        "<!-- test -->\ntext between\n```sh\ntouch one\n```\n",
    ],
)
def test_ci_refuses_a_readme_without_exactly_one_test_command(readme: str, tmp_path: Path) -> None:
    process = ci(tmp_path, readme)
    assert process.returncode == 2
    assert "README.md must hold one line" in process.stderr
    assert (tmp_path / ".venv").is_dir(), "nothing is removed before the command is known"
    assert not (tmp_path / "one").exists()
    assert not (tmp_path / "packages").exists()
