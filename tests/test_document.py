"""YAML documents: what is read and written, what is refused, and the place that an error reports."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from helpers.specs import RECIPES, SPACES, random_spec
from hypothesis import given
from hypothesis import strategies as st

from lightcnn import document
from lightcnn.document import Frozen
from lightcnn.errors import DocumentError, InputError, Problem
from lightcnn.recipe import Recipe
from lightcnn.space import SearchSpace
from lightcnn.spec import ConvBlock, NetworkSpec

SPEC = "input: [3, 8, 8]\nstages: [{kind: conv, width: 4}]\nclasses: 2\n"


class Probe(Frozen):
    """One value of each plain type."""

    number: float = 0.0
    word: str = ""
    flag: bool = False
    count: int = 0
    words: tuple[str, ...] = ()


def problems(text: str, model: type[Frozen] = NetworkSpec) -> list[Problem]:
    with pytest.raises(DocumentError) as caught:
        document.parse(model, text, "some.yaml")
    assert all("\n" not in str(problem) for problem in caught.value.problems)
    return caught.value.problems


def problem(text: str, model: type[Frozen] = NetworkSpec) -> str:
    refused = problems(text, model)
    assert len(refused) == 1, refused
    return str(refused[0])


@pytest.mark.parametrize(
    ("text", "number"),
    [("1e-3", 0.001), ("1E3", 1000.0), ("1.5e+2", 150.0), ("-.5", -0.5), ("12", 12.0), ("012", 12.0), ("0o14", 12.0)],
)
def test_numbers_are_read_as_in_yaml_1_2(text: str, number: float) -> None:
    assert document.parse(Probe, f"number: {text}").number == number


@pytest.mark.parametrize("word", ["no", "yes", "on", "off", "y", "n", "No", "OFF", "1:30"])
def test_booleans_of_yaml_1_1_are_words(word: str) -> None:
    assert document.parse(Probe, f"word: {word}").word == word


@pytest.mark.parametrize(("text", "flag"), [("true", True), ("False", False)])
def test_true_and_false_are_booleans(text: str, flag: bool) -> None:
    assert document.parse(Probe, f"flag: {text}").flag is flag


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("count: '3'", "some.yaml:1: count: input should be a valid integer, not '3'"),
        ("count: 3.0", "some.yaml:1: count: input should be a valid integer, not 3.0"),
        ("count: true", "some.yaml:1: count: input should be a valid integer, not True"),
        ("flag: 1", "some.yaml:1: flag: input should be a valid boolean, not 1"),
        ("flag: no", "some.yaml:1: flag: input should be a valid boolean, not 'no'"),
        ("word: 3", "some.yaml:1: word: input should be a valid string, not 3"),
        ("number: '1e-3'", "some.yaml:1: number: input should be a valid number, not '1e-3'"),
        ("number: .inf", "some.yaml:1: number: input should be a finite number, not inf"),
        ("number: .nan", "some.yaml:1: number: input should be a finite number, not nan"),
        ("words: word", "some.yaml:1: words: must be a list, not 'word'"),
    ],
)
def test_values_are_not_converted(text: str, message: str) -> None:
    assert problem(text, Probe) == message


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: 2\na: 3", 3, 'found duplicate key "a"'),
        ("a: &x 1\nb: *x", 1, "anchors and aliases are not read; write the value out"),
        ("a: 1\nb: &x 2", 2, "anchors and aliases are not read; write the value out"),
        ("a: 1\nb: *x", 2, "anchors and aliases are not read; write the value out"),
        ("a: 1\n\nb: !!python/name:os.system x", 3, "the tag tag:yaml.org,2002:python/name:os.system is not read"),
        ("a: !local x", 1, "the tag !local is not read; write a plain value"),
        ("a: !!str 3", 1, "the tag tag:yaml.org,2002:str is not read"),
        ("a: [1, 2\nb: 3", 2, "not readable as YAML"),
        ("a: 1\n\tb: 2", 2, "not readable as YAML"),
        ("a: 1\n---\nb: 2", 2, "not readable as YAML"),
        ("a: 'x", 1, "not readable as YAML"),
        ("%YAML 1.1\n---\nword: no", 2, "only YAML 1.2 is read; remove the %YAML line"),
    ],
)
def test_unsupported_yaml_is_refused_with_its_line(text: str, line: int, message: str) -> None:
    refused = problem(text, Probe)
    assert refused.startswith(f"some.yaml:{line}: ")
    assert message in refused


@pytest.mark.parametrize(
    "text", ["word: 2020-01-01", "word: 2020-01-01T10:00:00Z", "words: [2020-01-01]", "? [1, 2]\n: x"]
)
def test_dates_and_other_objects_are_refused(text: str) -> None:
    assert problem(text, Probe).endswith(
        "contains a date or another value that is neither text nor a number; put it in quotes"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "None"),
        ("# only a comment\n", "None"),
        ("- 1\n- 2", "[1, 2]"),
        ("word", "'word'"),
        ("3", "3"),
        ("[" * 20 + "]" * 20, "[[[["),
    ],
)
def test_a_document_must_be_a_mapping(text: str, shown: str) -> None:
    assert f"some.yaml: must be a mapping of keys to values, not {shown}" in problem(text)
    with pytest.raises(DocumentError, match="must be a mapping of keys to values"):
        document.keys(text)


@pytest.mark.parametrize(
    "text",
    ["a: " + "[" * 150_000, "a: " + "{b: " * 2_000 + "}" * 2_000, "\n".join(" " * n + "a:" for n in range(600))],
)
def test_deep_nesting_is_refused(text: str) -> None:
    assert "nested too deeply" in problem(text)


@pytest.mark.parametrize("number", ["9" * 5_000, "0x" + "f" * 5_000, "-" + "9" * 5_000, "1e400"])
def test_giant_numbers_are_refused(number: str) -> None:
    refused = problem(f"count: {number}", Probe)
    assert refused.startswith("some.yaml")
    assert len(refused) < 300


@pytest.mark.parametrize("text", ["word: \x00", "word: \x07", "word: \ufffe"])
def test_control_characters_are_refused(text: str) -> None:
    assert "some.yaml: not readable as YAML" in problem(text, Probe)


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("name: Käse".encode("latin-1"))
    with pytest.raises(DocumentError) as caught:
        document.load(NetworkSpec, path)
    assert str(caught.value) == f"{path}: not UTF-8 text; save it as UTF-8"


def test_a_file_that_is_too_long_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.yaml"
    comment = "#" * (document.MAX_YAML_CHARACTERS - len(SPEC) - 1) + "\n"
    path.write_text(comment + SPEC)
    assert document.load(NetworkSpec, path).classes == 2
    path.write_text("#" + comment + SPEC)
    with pytest.raises(DocumentError, match=f"longer than {document.MAX_YAML_CHARACTERS} characters"):
        document.load(NetworkSpec, path)
    path.write_text("#" * document.MAX_CHARACTERS + comment)
    with pytest.raises(DocumentError, match=f"longer than {document.MAX_CHARACTERS} characters"):
        document.load(NetworkSpec, path)


@pytest.mark.parametrize(
    "text",
    [
        "[" + "1," * 24_000 + "]",
        "- 1\n" * 12_000,
        "? a\n" * 12_000,
        "a: [" + "{b: 1}," * 6_000 + "]",
        "[" * 19 + "1," * 24_000,
    ],
    ids=["list", "lines", "keys", "mappings", "nested"],
)
def test_a_text_of_too_many_values_is_refused(text: str) -> None:
    with pytest.raises(DocumentError, match=f"more than {document.MAX_VALUES} keys and values; this is not a document"):
        document.parse(NetworkSpec, text)


def test_the_problems_of_a_document_are_limited() -> None:
    with pytest.raises(DocumentError) as caught:
        document.parse(NetworkSpec, "input: [1, 8, 8]\nclasses: 2\nstages: [" + "1," * 5_000 + "]")
    assert len(caught.value.problems) == document.MAX_PROBLEMS + 1
    assert str(caught.value.problems[-1]).endswith(": 4,900 more problems are not listed")


def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"none\.yaml: cannot be read: No such file or directory"):
        document.load(NetworkSpec, tmp_path / "none.yaml")
    with pytest.raises(DocumentError, match="cannot be read: Is a directory"):
        document.load(NetworkSpec, tmp_path)


FAULTY = """\
name: x
input: [3, 8]
clases: 2
stem:
  - {kind: conf, width: 4}
  - width: 4
stages:
  - {kind: conv, width: 4, expand: 6}
  - kind: residual
    body:
      - kind: mbconv
        width: 0
        act: hardswich
  - {kind: conv}
head: {output: sigmiod}
"""


def test_all_problems_are_reported_at_once_with_their_places() -> None:
    assert [(p.line, p.path, p.message) for p in problems(FAULTY)] == [
        (1, "classes", "the key 'classes' is missing; add it (a whole number, at least 2)"),
        (2, "input", "must have 3 values (channels, height and width in pixels), not [3, 8]"),
        (3, "clases", "unknown key 'clases' (value 2); did you mean 'classes'?"),
        (
            5,
            "stem.0",
            "'conf' is not one of the kinds conv, separable, mbconv, se, pool, residual; did you mean 'conv'?",
        ),
        (6, "stem.1", "the key 'kind' is missing; add it (one of conv, separable, mbconv, se, pool, residual)"),
        (
            8,
            "stages.0.expand",
            "unknown key 'expand' (value 6); known: kind, width, kernel, stride, groups, norm, bias, act, depth",
        ),
        (12, "stages.1.body.0.width", "input should be greater than or equal to 1, not 0"),
        (
            13,
            "stages.1.body.0.act",
            "'hardswich' is not one of silu, relu, relu6, hardswish, gelu, none; did you mean 'hardswish'?",
        ),
        (14, "stages.2.width", "the key 'width' is missing; add it (a whole number, at least 1: output channels)"),
        (15, "head.output", "'sigmiod' is not one of softmax, sigmoid; did you mean 'sigmoid'?"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("input: [3]", "input: must have 3 values (channels, height and width in pixels), not [3]"),
        ("input: [3, 8, 8, 8]", "input: must have 3 values (channels, height and width in pixels), not [3, 8, 8, 8]"),
        ("input: {}", "input: must be a list, not {}"),
        ("head: [1]", "head: must be a mapping of keys to values, not [1]"),
        ("stages: []", "stages: must have at least 1 value, not 0"),
    ],
)
def test_a_wrong_list_or_mapping_is_one_problem_that_states_what_is_wanted(line: str, message: str) -> None:
    values = {"input": "[3, 8, 8]", "classes": "2", "stages": "[{kind: conv, width: 4}]"}
    key, _, value = line.partition(": ")
    refused = problem("\n".join(f"{name}: {text}" for name, text in (values | {key: value}).items()))
    assert refused.partition(": ")[2] == message


def test_problems_of_a_recipe_are_in_the_order_of_its_lines() -> None:
    text = "seed: -1\nname: 1\naugment: {shift: 2}\nnetwork:\n  stages: 3\ntraining: {epochs: 0}\nxyz: 1\n"
    lines = [p.line for p in problems(text, Recipe)]
    assert lines == [1, 1, 2, 3, 4, 4, 5, 6, 7]


def test_the_error_shows_the_first_problem_and_counts_the_others() -> None:
    with pytest.raises(DocumentError) as caught:
        document.parse(NetworkSpec, FAULTY, "some.yaml")
    first, more = caught.value.problems[0], len(caught.value.problems) - 1
    assert str(caught.value) == f"{first} (and {more} more: `lightcnn check some.yaml` lists all)"


def test_an_unknown_kind_without_a_close_name_lists_the_kinds() -> None:
    refused = problem("input: [3, 8, 8]\nclasses: 2\nstages: [{kind: xyz}]")
    assert refused == "some.yaml:3: stages.0: 'xyz' is not one of the kinds conv, separable, mbconv, se, pool, residual"


def test_a_broken_rule_of_the_network_has_the_line_of_its_block() -> None:
    refused = problem(
        "input: [3, 4, 4]\nclasses: 2\nstages:\n  - {kind: conv, width: 4}\n"
        "  - kind: conv\n    groups: 3\n    width: 9\n"
    )
    assert refused == "some.yaml:6: stages.1.groups: 3 groups do not divide 4 input channels and 9 output channels"


def test_a_problem_inside_the_network_of_a_recipe_has_its_place() -> None:
    text = "data: digits\nnetwork:\n  input: [3, 8, 8]\n  classes: 2\n  stages:\n    - {kind: conv, widht: 4}\n"
    assert {str(p) for p in problems(text, Recipe)} == {
        "some.yaml:6: network.stages.0.widht: unknown key 'widht' (value 4); did you mean 'width'?",
        "some.yaml:6: network.stages.0.width: the key 'width' is missing; add it (a whole number, at least 1: output "
        "channels)",
    }


@pytest.mark.parametrize("seed", range(60))
def test_random_specs_are_read_as_they_were_written(seed: int) -> None:
    network = random_spec(Random(seed))
    assert document.parse(NetworkSpec, document.dump(network)) == network
    full = document.dump(network, exclude_defaults=False)
    assert document.parse(NetworkSpec, full) == network


def test_a_saved_spec_is_loaded_as_it_was(tmp_path: Path) -> None:
    network = random_spec(Random(1))
    document.save(network, tmp_path / "spec.yaml", header="lightcnn check spec.yaml\ntwo lines")
    text = (tmp_path / "spec.yaml").read_text(encoding="utf-8")
    assert text.startswith("# lightcnn check spec.yaml\n# two lines\n")
    assert NetworkSpec.load(tmp_path / "spec.yaml") == network


@given(st.text("abzAZé数_059 .+-eE", max_size=12))
def test_any_name_is_read_as_it_was_written(name: str) -> None:
    network = NetworkSpec(name=name, input=(1, 4, 4), stages=(ConvBlock(width=1),), classes=2)
    assert document.parse(NetworkSpec, document.dump(network)) == network


@pytest.mark.parametrize(
    "name",
    ["no", "1e-3", "null", "true", "2020-01-01", "12", "0x1F", "1_0", "- a", " a ", ".inf", "", "-", "+1", "0o7"],
)
def test_names_that_look_like_other_types_are_read_as_written(name: str) -> None:
    network = NetworkSpec(name=name, input=(1, 4, 4), stages=(ConvBlock(width=1),), classes=2)
    assert document.parse(NetworkSpec, document.dump(network)) == network


class Rates(Frozen):
    """A mapping whose keys may have spaces, as the rates of a latency model."""

    rates: dict[str, float]


@pytest.mark.parametrize("count", range(1, 60))
def test_keys_with_spaces_are_read_as_written_wherever_the_line_ends(count: int) -> None:
    """A key must be on one line."""
    document_of_rates = Rates(rates={f"{'x' * (number % 9)} macs {number}": number / 3 for number in range(count)})
    text = document.dump(document_of_rates)
    assert document.parse(Rates, text) == document_of_rates
    assert count < 20 or max(map(len, text.splitlines())) < 160, "lines still end"


def test_the_shipped_files_are_known_here() -> None:
    assert set(document.shipped("search_spaces")) == SPACES
    assert set(document.shipped("recipes")) == RECIPES
    with pytest.raises(FileNotFoundError):
        document.shipped("nothing")


@pytest.mark.parametrize("name", sorted(SPACES))
def test_shipped_spaces_are_read_as_they_were_written(name: str) -> None:
    space = SearchSpace.load(name)
    assert space.name == name
    assert document.parse(SearchSpace, document.dump(space)) == space


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_shipped_recipes_are_read_as_they_were_written(name: str, tmp_path: Path) -> None:
    recipe = Recipe.load(name)
    recipe.save(tmp_path / "recipe.yaml")
    assert Recipe.load(tmp_path / "recipe.yaml") == recipe
    assert document.parse(Recipe, document.dump(recipe)) == recipe


@pytest.mark.parametrize("kind", ["search_spaces", "recipes"])
def test_shipped_files_are_found_from_anywhere(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = document.shipped(kind)
    for name, path in files.items():
        for written in (name, f"{name}.yaml", f"{kind}/{name}.yaml", str(path)):
            assert document.find(kind, written) == path, written
    assert files


def test_an_existing_file_takes_precedence_over_a_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "micro").mkdir()
    assert document.find("search_spaces", "micro") == document.shipped("search_spaces")["micro"]
    (tmp_path / "micro.yaml").write_text("")
    assert document.find("search_spaces", "micro.yaml") == Path("micro.yaml")


@pytest.mark.parametrize("name", ["micor", "recipes/micro.yaml", "elsewhere/micro.yaml", "/search_space/micro"])
def test_an_unknown_name_is_refused_with_the_shipped_names(name: str) -> None:
    with pytest.raises(InputError) as caught:
        document.find("search_spaces", name)
    message = str(caught.value)
    assert message.startswith(f"{name}: no such file and no shipped search space; did you mean 'micro'?; shipped: ")
    assert message.endswith(", ".join(sorted(SPACES)))


def test_a_name_without_a_close_one_has_no_suggestion() -> None:
    with pytest.raises(InputError, match=r"^zzz: no such file and no shipped recipe; shipped: "):
        document.find("recipes", "zzz")
