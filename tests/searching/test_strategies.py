"""The strategies: each finds good networks, each is deterministic, and all lists of them agree."""

from __future__ import annotations

import re
from typing import get_args

import pytest
from helpers.paths import DOCS
from searching.table_space import TableSpace, best, run, score, table_searcher, timeless

from lightcnn.cli.search import Strategy
from lightcnn.errors import InputError
from lightcnn.searching.settings import SearchSettings
from lightcnn.searching.strategies.names import STRATEGIES
from lightcnn.searching.strategies.table import FUNCTIONS


def test_all_lists_of_strategies_agree() -> None:
    assert STRATEGIES == ("surrogate", "evolution", "tpe", "random")
    assert tuple(FUNCTIONS) == STRATEGIES
    assert tuple(strategy.value for strategy in Strategy) == STRATEGIES
    field = SearchSettings.model_fields["strategy"]
    assert get_args(field.annotation) == STRATEGIES
    assert field.default == STRATEGIES[0]


def test_the_page_on_search_describes_every_strategy() -> None:
    page = (DOCS / "concepts" / "search.md").read_text(encoding="utf-8")
    table = page[page.index("| strategy |") :].split("\n\n")[0]
    assert tuple(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == STRATEGIES


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_finds_good_entries_and_is_deterministic(tmp_path, strategy):
    results = []
    for name in "ab":
        (tmp_path / name).mkdir()
        searcher = table_searcher(tmp_path / name, strategy=strategy)
        run(searcher, score, trials=40)
        results.append(timeless(searcher.outcomes()))
        assert best(searcher).score > {"evolution": 0.9, "surrogate": 0.95, "tpe": 0.85, "random": 0.8}[strategy]
    assert results[0] == results[1]
    assert len(results[0]) == 40
    assert results[0][0][3] == "10/a", "the start of the space is tried first"


def test_another_seed_proposes_other_candidates(tmp_path):
    (tmp_path / "b").mkdir()
    searchers = table_searcher(tmp_path), table_searcher(tmp_path / "b", seed=1)
    for searcher in searchers:
        run(searcher, score, trials=5)
    keys = [[o.key for o in searcher.outcomes()][1:] for searcher in searchers]
    assert keys[0] != keys[1]


def test_the_message_for_an_unknown_strategy_lists_all(tmp_path):
    with pytest.raises(InputError, match="surrogate, evolution, tpe, random"):
        table_searcher(tmp_path, strategy="annealing")


def test_all_starts_of_a_space_are_tried_first(tmp_path):
    class TwoStarts(TableSpace):
        def start_shapes(self):
            return ({"x": 10, "kind": "a"}, {"x": 60, "kind": "c"})

    searcher = table_searcher(tmp_path, TwoStarts())
    run(searcher, trials=4)
    assert [outcome.key for outcome in searcher.outcomes()][:2] == ["10/a", "60/c"]
