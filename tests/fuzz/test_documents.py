"""YAML files and budgets with random changes: accepted and usable, or an error of one line per problem."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from helpers.mutations import mutated_text
from helpers.paths import ROOT
from hypothesis import given
from hypothesis import strategies as st

from lightcnn import document
from lightcnn.budget import Budget
from lightcnn.cost import cost
from lightcnn.errors import BudgetError, InputError
from lightcnn.recipe import Recipe
from lightcnn.space import SearchSpace
from lightcnn.spec import NetworkSpec

SPEC = """name: fuzzed
input: [3, 32, 32]
stem: [{kind: conv, width: 8, stride: 2}]
stages:
  - {kind: mbconv, width: 12, expand: 2.5, se: 0.25, kernel: 5}
  - {kind: separable, width: 16, stride: 2}
  - {kind: pool}
head: {dropout: 0.1}
classes: 3
"""
TEXTS = {
    NetworkSpec: [SPEC],
    SearchSpace: [path.read_text(encoding="utf-8") for path in sorted((ROOT / "search_spaces").glob("*.yaml"))],
    Recipe: [path.read_text(encoding="utf-8") for path in sorted((ROOT / "recipes").glob("*.yaml"))],
}


def test_the_texts_are_valid() -> None:
    assert [len(texts) for texts in TEXTS.values()] == [1, 3, 7]
    for model, texts in TEXTS.items():
        for text in texts:
            use(document.parse(model, text))


def use(value: NetworkSpec | SearchSpace | Recipe) -> None:
    """What is accepted can be costed, drawn from, or written and read again."""
    if isinstance(value, NetworkSpec):
        assert cost(value).macs >= 0
    elif isinstance(value, SearchSpace):
        assert value.draw(Random(0)).keys() == {gene.name for gene in value.genes()}
    assert document.parse(type(value), document.dump(value)) == value


@pytest.mark.parametrize("model", TEXTS)
def test_changed_documents(model: type, fuzz_cases: int, tmp_path: Path) -> None:
    accepted = 0
    for seed in range(fuzz_cases):
        random = Random(seed)
        text = mutated_text(random.choice(TEXTS[model]), random)
        file = tmp_path / "fuzzed.yaml"
        file.write_bytes(text.encode(random.choice(["utf-8", "utf-8", "utf-8", "utf-16"]), "surrogatepass"))
        try:
            value = document.load(model, file)
        except InputError as error:
            problems = getattr(error, "problems", [error])
            assert problems and all("\n" not in str(problem) for problem in problems), (seed, str(error))
        else:
            use(value)
            accepted += 1
    assert 0 < accepted < fuzz_cases


TERMS = st.one_of(
    st.text(max_size=30),
    st.from_regex(r"[0-9.,_e+\- ]{0,12} ?(k|M|G|Ki)?(FLOPs|MACs|params|B|B-RAM|B-flash|B-arena|ms|s)?", fullmatch=True),
    st.sampled_from(["1MFLOPs", "0.9..1MFLOPs", "50kparams", "64KiB-RAM", "5ms", "1M", "1e999MFLOPs", "..", ""]),
    st.sampled_from(["128kB-flash,16kB-arena", "8..16KiB-arena"]),
)  # fmt: skip


@given(st.lists(TERMS, min_size=1, max_size=4).map(",".join))
def test_budgets(text: str) -> None:
    try:
        budget = Budget.parse(text)
    except BudgetError as error:
        assert "\n" not in str(error)
    else:
        assert Budget.parse(str(budget)) == budget
