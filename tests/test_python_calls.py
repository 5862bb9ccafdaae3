"""Errors of calls from Python name arguments in place of options."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import lightcnn
from lightcnn.errors import DocumentError, InputError, Problem
from lightcnn.python_calls import COMMAND, in_python, python_call
from lightcnn.searching.settings import SearchSettings, changed_settings

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


def test_whole_numbers_of_numpy_become_those_of_python() -> None:
    given: list[Any] = []

    @python_call
    def keep(*args: Any, **kwargs: Any) -> None:
        given.extend((args, kwargs))

    array, labels = np.zeros(3, np.uint8), [np.int64(1)]
    keep(np.uint8(3), (np.int32(1), 2.5, array), labels=labels, set={"a.b": np.int64(4), "c": True})
    (first, pair), options = given
    assert first == 3 and pair[:2] == (1, 2.5) and pair[2] is array and options["labels"] is labels
    assert [type(each) for each in (first, pair[0], options["set"]["a.b"])] == [int, int, int]
    assert options["set"]["c"] is True


def test_a_search_takes_whole_numbers_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    settings: list[SearchSettings] = []
    run = SimpleNamespace(path=PACKAGE)
    monkeypatch.setattr("lightcnn.searching.job.run", lambda given, **_: settings.append(given) or run)
    names = ("trials", "epochs", "input", "finalists", "workers", "seeds", "seed")
    lightcnn.search("1MFLOPs", set={"training.batch": np.int64(8)}, **{name: np.int64(8) for name in names})
    plain = settings[0]
    assert all(type(getattr(plain, name)) is int and getattr(plain, name) == 8 for name in names)
    assert plain.set == {"training.batch": 8} and b"batch: 8" in plain.yaml()
    with pytest.raises(InputError, match=r"^search: trials: input should be a valid integer, not np\.True_$"):
        lightcnn.search("1MFLOPs", trials=np.True_)  # type: ignore[arg-type]


def test_a_search_takes_a_budget_and_a_space_that_are_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    settings: list[SearchSettings] = []
    run = SimpleNamespace(path=PACKAGE)
    monkeypatch.setattr("lightcnn.searching.job.run", lambda given, **_: settings.append(given) or run)
    space = lightcnn.SearchSpace.load("mobilenet")
    lightcnn.search(lightcnn.Budget.parse("100MFLOPs,1Mparams"), space=space)
    assert (settings[0].budget, settings[0].space, settings[0].choose_space) == ("100MFLOPs,1Mparams", space, False)
    expected = "^run was started with space 'mobilenet', not 'micro'; omit --space, or choose another$"
    with pytest.raises(InputError, match=expected):
        changed_settings(settings[0], {"space": lightcnn.SearchSpace.load("micro")}, (), "run", "choose another")


def test_other_functions_and_copies_of_recipes_take_whole_numbers_of_numpy() -> None:
    size = tuple(np.array([3, 8, 8]))
    assert lightcnn.profile(torch.nn.Conv2d(3, 2, 3), size, threads=np.int64(1)).count.macs == 1944  # type: ignore[arg-type]
    quick = lightcnn.Recipe.load("quick")
    training = quick.training.model_copy(update={"epochs": np.int64(3)})
    recipe = quick.model_copy(update={"training": training, "seed": np.int64(7)})
    assert json.loads(recipe.model_dump_json())["training"]["epochs"] == 3
    assert type(recipe.seed) is int and recipe.seed == 7
    assert quick.model_copy() == quick


def test_other_errors_and_results_pass() -> None:
    assert python_call(lambda first, second: first + second)(1, second=2) == 3
    with pytest.raises(TypeError, match=r"search\(\) got an unexpected keyword argument 'trails'"):
        lightcnn.search("1MFLOPs", trails=3)  # type: ignore[call-arg]
    with pytest.raises(ZeroDivisionError, match="--x"):
        python_call(lambda: (_ for _ in ()).throw(ZeroDivisionError("--x")))()
    with pytest.raises(InputError, match="already exists; choose a new folder, or use resume=True to continue"):
        lightcnn.train("quick", out=PACKAGE)
