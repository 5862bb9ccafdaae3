"""Errors of calls from Python name arguments in place of options."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import lightcnn
from lightcnn.errors import DocumentError, InputError, Problem
from lightcnn.python_calls import COMMAND, in_python, python_call

pytestmark = pytest.mark.usefixtures("undrawn_charts")

PACKAGE = Path(lightcnn.__file__).parent
SEARCH, AUDIT = (inspect.signature(function).parameters for function in (lightcnn.search, lightcnn.audit))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("--input 8: only 16 to 64; give another --space", "input=8: only 16 to 64; give another space"),
        ("--out runs/a: exists; or use --resume to continue", "out=runs/a: exists; or use resume=True to continue"),
        ("--resume: --out is missing; name the folder", "resume: out is missing; name the folder"),
        ("--workers 3: use --workers 1, or --device cpu", "workers=3: use workers=1, or device='cpu'"),
        ("--time '10': not a duration; as in 90s", "time='10': not a duration; as in 90s"),
        ("--over is missing; give a kind", "over is missing; give a kind"),
        ("give other data with --data SOURCE", "give other data with data=SOURCE"),
        ("continue it with --resume --out runs/a", "continue it with resume=True out='runs/a'"),
        ("3 images; --set training.batch=2", "3 images; set training.batch=2"),
        ("--abstain-below 2: not a probability", "abstain_below=2: not a probability"),
        ("as in `lightcnn train quick --seeds 3`", "as in `lightcnn train quick --seeds 3`"),
        ("resume with: lightcnn train --resume --out runs/a", "resume with: lightcnn train --resume --out runs/a"),
        ("leave them out with --skip-corrupt", "leave them out with Reading(skip_corrupt=True)"),
        ("name it with --positive", "name it with Reading(positive=...)"),
    ],
)  # fmt: skip
def test_options_become_arguments(message: str, expected: str) -> None:
    assert in_python(message, SEARCH) == expected


def test_arguments_of_the_function_come_before_those_of_reading() -> None:
    assert in_python("give up --require-data, or --data-dir x", AUDIT) == "give up require_data=True, or data_dir='x'"
    assert in_python("give up --require-data", SEARCH) == "give up Reading(require_data=True)"


def messages() -> Iterator[str]:
    """The texts of all errors that are raised outside the command line, with x in place of their values."""
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name == "cli":
            continue
        for raised in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for node in ast.walk(raised) if isinstance(raised, ast.Raise) else ():
                if isinstance(node, ast.JoinedStr):
                    yield "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)


def test_no_message_of_the_package_keeps_an_option() -> None:
    with_options = [message for message in messages() if "--" in message]
    assert len(with_options) > 50
    for message in with_options:
        sentences = "".join(COMMAND.split(in_python(message, SEARCH))[::2])
        assert "--" not in sentences, message


def test_the_type_of_an_error_and_its_problems_are_kept() -> None:
    problems = [Problem("recipe.yaml", "seed", "use --seeds 2", 3)]

    @python_call
    def fail(seeds: int) -> None:
        raise DocumentError(problems)

    with pytest.raises(DocumentError, match=r"recipe\.yaml:3: seed: use seeds=2") as caught:
        fail(1)
    assert caught.value.problems == problems


def test_other_errors_and_results_pass() -> None:
    assert python_call(lambda first, second: first + second)(1, second=2) == 3
    with pytest.raises(TypeError, match=r"search\(\) got an unexpected keyword argument 'trails'"):
        lightcnn.search("1MFLOPs", trails=3)  # type: ignore[call-arg]
    with pytest.raises(ZeroDivisionError, match="--x"):
        python_call(lambda: (_ for _ in ()).throw(ZeroDivisionError("--x")))()
    with pytest.raises(InputError, match="already exists; choose a new folder, or use resume=True to continue"):
        lightcnn.train("quick", out=PACKAGE)
