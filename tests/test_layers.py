"""Imports go one way, and heavy packages are imported late."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

import lightcnn
from lightcnn.tracking.names import TRACKERS

PACKAGE = Path(lightcnn.__file__).parent
LEVELS = (
    ("version", "errors", "progress", "decisions", "csv_files"),
    ("text", "output_kinds", "operating_points"),
    ("run_files", "interrupt", "document_problems", "duration", "exported_metadata", "image_size"),
    ("output", "budget", "document", "run_folder"),
    ("block_specs", "cost_range", "devices", "overrides", "unlikeness", "tracking"),
    ("spec", "module_spec"),
    ("cost", "program", "baseline_spec", "blocks", "stage_space", "start_shapes"),
    ("space", "recipe", "network", "memory_plan", "latency_model", "network_stages", "own_module"),
    ("data", "recipe_defaults", "device_cost", "python_calls"),
    ("pretrained", "run_data", "lower_limits"),
    ("baselines", "space_choice"),
    ("counting", "engine", "inference", "weights", "predictor"),
    ("evaluation", "onnxfiles", "integer", "trained_network"),
    ("measurement", "run", "exported_model", "foreign_model", "run_list", "timm_registry", "teacher", "upstream_runs"),
    ("open_predictor",),
    ("training", "comparing", "auditing", "predicting", "profiling", "explaining", "exporting"),
    ("searching", "ablating", "serving"),
    ("sklearn",),
    ("cli",),
    ("__main__",),
    ("__init__",),
)
"""Parts of lightcnn from the bottom up: each imports only parts of lower levels, none of its own level."""

MAX_MODULES = 13
"""Modules in one folder; the top level, whose modules are data types, and cli may have more."""

LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
TORCH_FREE = (
    "version", "errors", "csv_files", "text", "progress", "interrupt", "document", "document_problems",
    "image_size", "budget", "run_files", "run_folder", "exported_metadata", "operating_points",
    "block_specs", "cost_range", "spec", "latency_model",
    "overrides", "cost", "program", "memory_plan", "device_cost", "exporting.formats", "baseline_spec",
    "module_spec", "space", "stage_space", "start_shapes", "recipe", "recipe_defaults", "run", "run_list",
    "network_stages", "output.html", "output.markdown", "output.charts.network_*", "output.caveats",
    "output.report", "output.warnings",
    "output.terminal", "output.console",
    "tracking.names", "tracking.tracker*", "tracking.journal", "tracking.background", "tracking.values",
    "lower_limits", "searching.budgeted_space", "training.recipe_argument",
    "cli.*", "*.settings", "*.progress", "*.terminal",
)  # fmt: skip
"""Patterns of modules below lightcnn that load neither torch nor another heavy package."""
HEAVY = ("torch", "optuna", "fvcore", "thop", "sklearn", "matplotlib", "numpy")

SOURCES = sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    """The dotted name of a file below lightcnn."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def modules_like(pattern: str) -> list[Path]:
    """The files of the modules that match one of `TORCH_FREE`."""
    return [path for path in SOURCES if fnmatch(module_of(path), pattern)]


def part_of(path: Path) -> str:
    """The module or package right below lightcnn that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def imports(path: Path) -> set[str]:
    """Dotted names of everything that a file imports anywhere, inside functions too; `from a import b` gives a.b."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide their target"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def parts_imported(path: Path) -> set[str]:
    """The parts of lightcnn that a file imports."""
    names = {name.split(".")[1] for name in imports(path) if name.startswith("lightcnn.")}
    return {name for name in names if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()}


def test_every_part_has_a_level() -> None:
    assert {part_of(path) for path in SOURCES} == set(LEVEL)
    assert len(SOURCES) >= 60


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    part = part_of(path)
    for imported in parts_imported(path) - {part}:
        assert LEVEL[imported] < LEVEL[part], f"{part} imports {imported}"


def test_the_reader_of_imports_finds_them() -> None:
    assert parts_imported(PACKAGE / "engine" / "loop.py") >= {"data", "recipe"}
    assert "searching" in parts_imported(PACKAGE / "cli" / "search.py")
    assert "optuna" in imports(PACKAGE / "searching" / "trials" / "searcher.py")


@pytest.mark.parametrize("library", ["optuna", "sqlalchemy"])
def test_only_searching_imports_the_search_library(library: str) -> None:
    users = {part_of(path) for path in SOURCES if any(name.split(".")[0] == library for name in imports(path))}
    assert users == {"searching"}


def test_timm_is_imported_where_networks_pass_from_or_to_it_and_only_when_needed() -> None:
    users = {part_of(path) for path in SOURCES if any(name.split(".")[0] == "timm" for name in imports(path))}
    assert users == {"baselines", "timm_registry"}  # takes networks from timm; gives it one
    assert not loaded_after("import lightcnn.baselines, lightcnn.timm_registry") & {"timm", "torchvision"}


@pytest.mark.parametrize("tracker", TRACKERS)
def test_the_library_of_a_tracker_is_imported_by_one_module(tracker: str) -> None:
    users = [module_of(path) for path in SOURCES if any(tracker in name.split(".")[:3] for name in imports(path))]
    assert set(users) - {"tracking.background", "tracking.names"} == {f"tracking.{tracker}"}


def test_no_library_of_a_tracker_is_loaded_unless_it_is_used() -> None:
    code = "import lightcnn.tracking.trackers, lightcnn.cli.main, lightcnn.searching.job, lightcnn.training.job"
    assert not loaded_after(code) & set(TRACKERS)


@pytest.mark.parametrize("library", ["onnx", "onnxruntime"])
def test_only_onnxfiles_and_a_new_process_import_the_extra(library: str) -> None:
    users = {path.name for path in SOURCES if any(name.split(".")[0] == library for name in imports(path))}
    assert users and users <= {"read.py", "runtime.py", "memory.py", "assembly.py", "layers.py", "quantization.py"}
    assert not loaded_after("import lightcnn.profiling.job") & {"onnx", "onnxruntime", "onnxscript"}


def test_only_terminals_and_the_command_line_import_rich_and_typer() -> None:
    users = {module_of(path) for path in SOURCES if {name.split(".")[0] for name in imports(path)} & {"rich", "typer"}}
    others = {name for name in users if not name.startswith("cli.") and not name.endswith(".terminal")}
    assert {"output.terminal", "searching.terminal", "cli.search"} <= users
    assert others == {"output.console", "profiling.profile"}


def test_only_one_module_imports_matplotlib_whose_backend_may_be_missing() -> None:
    users = {module_of(path) for path in SOURCES if "matplotlib" in {name.split(".")[0] for name in imports(path)}}
    assert users == {"output.charts.plotting"}


@cache
def loaded_after(code: str) -> set[str]:
    """The top-level names of all modules that a fresh interpreter has loaded after `code`."""
    script = f"import sys\n{code}\nprint('LOADED', *{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True, cwd=PACKAGE.parent
    )
    return set(done.stdout.rpartition("LOADED")[2].split())


def test_the_list_of_loaded_modules_is_complete() -> None:
    assert {"lightcnn", "torch"} <= loaded_after("import lightcnn.blocks")


def test_importing_lightcnn_loads_nothing_heavy() -> None:
    loaded = loaded_after("import lightcnn")
    assert "lightcnn" in loaded
    assert not loaded & {*HEAVY, "pydantic", "typer", "rich"}


def test_a_run_is_opened_without_torch() -> None:
    assert not loaded_after("import lightcnn\nassert lightcnn.Run.load") & set(HEAVY)


def test_the_help_loads_nothing_heavy() -> None:
    loaded = loaded_after("from lightcnn.cli.main import run\nassert run(['--help']) == 0")
    assert {"lightcnn", "typer"} <= loaded
    assert not loaded & set(HEAVY)


def test_the_help_of_search_loads_nothing_heavy() -> None:
    assert not loaded_after("from lightcnn.cli.main import run\nassert run(['search', '--help']) == 0") & set(HEAVY)


@pytest.mark.parametrize("pattern", TORCH_FREE)
def test_torch_free_modules_import_no_torch(pattern: str) -> None:
    files = modules_like(pattern)
    tops = {name.split(".")[0] for path in files for name in imports(path)}
    assert files
    assert not tops & {"torch", "torchvision", "optuna", "safetensors", "fvcore", "thop"}


def test_decisions_load_numpy_but_no_torch() -> None:
    loaded = loaded_after("import lightcnn.decisions")
    assert "numpy" in loaded
    assert not loaded & {"torch", "optuna", "sklearn", "matplotlib"}


@pytest.mark.parametrize("module", ["predictor", "data.stream", "data.preparation.steps", "unlikeness"])
def test_predictors_load_numpy_and_pillow_only(module: str) -> None:
    loaded = loaded_after(f"import lightcnn.{module}")
    assert "numpy" in loaded
    assert not loaded & {"torch", "pydantic", "cv2", "ruamel", "typer", "rich", "filelock", "onnxruntime"}


def test_torch_free_modules_load_no_torch() -> None:
    modules = sorted({module_of(path) for pattern in TORCH_FREE for path in modules_like(pattern)})
    loaded = loaded_after("\n".join(f"import lightcnn.{module}" for module in modules))
    assert "pydantic" in loaded
    assert not loaded & set(HEAVY)


def test_no_package_is_crowded() -> None:
    counts = Counter(path.parent for path in SOURCES if path.name != "__init__.py")
    crowded = {
        str(folder)
        for folder, count in counts.items()
        if count > MAX_MODULES and folder not in (PACKAGE, PACKAGE / "cli")
    }
    assert not crowded
    assert max(counts.values()) > MAX_MODULES


def test_every_package_begins_with_a_description_and_holds_nothing_else() -> None:
    packages = [path for path in SOURCES if path.name == "__init__.py" and path.parent != PACKAGE]
    assert len(packages) >= 25
    for path in packages:
        (description,) = ast.parse(path.read_text(encoding="utf-8")).body
        assert isinstance(description, ast.Expr) and isinstance(description.value, ast.Constant), path
        assert len(str(description.value.value)) > 100, path


def test_no_public_class_name_is_used_twice() -> None:
    names = Counter(
        node.name
        for path in SOURCES
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert len(names) > 150
    assert [name for name, count in names.items() if count > 1] == []


ROLES = {"settings", "job", "progress", "report", "page", "figures", "wording", "terminal"}
COMMAND_PACKAGES = (
    "searching", "training", "comparing", "auditing", "predicting", "profiling", "explaining", "exporting",
    "ablating", "serving",
)  # fmt: skip


BUILDS_ON = {"searching": {"training"}, "ablating": {"training", "comparing"}, "serving": {"explaining"}}
"""The command packages that build on others."""


@pytest.mark.parametrize("package", COMMAND_PACKAGES)
def test_every_command_package_has_settings_a_job_and_a_terminal(package: str) -> None:
    names = {path.stem for path in (PACKAGE / package).iterdir()}
    assert {"settings", "job"} <= names
    assert len(ROLES & names) >= 3


def test_command_packages_import_no_other_but_those_they_build_on() -> None:
    for path in SOURCES:
        if part_of(path) in COMMAND_PACKAGES:
            others = parts_imported(path) & set(COMMAND_PACKAGES) - {part_of(path)}
            assert others <= BUILDS_ON.get(part_of(path), set()), path
