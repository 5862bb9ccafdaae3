"""The word list of CONTRIBUTING.md: what help, messages, docstrings, comments, names and pages do not say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.paths import ROOT

WORDS = {
    r"told|tells": "reported, shown, stated",
    r"said|unsaid": "reported, stated",
    r"held against": "compared with, checked against",
    r"let be": "ignored",
    r"go(?:es)? on|gone on|went on": "resume, continue",
    r"anew|afresh": "again",
    r"begun|forerunners?": "started; upstream runs",
    r"an? (?:row|line|image|file|picture|value|bar|point|panel|page) an? (?!few|single|long)": "one row per epoch",
    r"(?:test|train|training|validation) sides?": "test set, training set, validation set",
    r"on both sides|cut (?:the |a )?(?:splits?|sides?)|sources? stands?": "groups overlap; make a split",
    r"kin": "variants",
    r"gravest": "most severe",
    r"hostile": "untrusted",
    r"where there (?:is|are) (?:one|none|any|some)": "if any",
    r"comes? of": "results from",
    r"right answers?|answers? (?:right|wrong)|answers of|answered": "correct predictions, predictions",
    r"surest": "most confident",
    r"stands?(?!-in)(?! in for)|stood": "is, is listed, is in",
    r"laid|lay over": "prepared, overlaid",
    r"conduct(?:s|ed)?": "run",
    r"demand(?:s|ed)?": "require",
    r"(?<![/\"])pictures?(?![/\"])": "image, figure, plot",
    r"but for": "except",
    r"hang together": "are correlated",
    r"turn(?:s|ed)? (?:it )?round|the other way round": "reverse",
    r"fault of lightcnn": "bug in lightcnn",
    r"likeness": "similarity",
    r"noughts?": "zero",
    r"by (?:rising|falling)": "in ascending order of",
    r"beforehand|in vain|thereof|whereof|therein|wherein|hitherto": "before; without effect",
    r"whole or not at all": "atomically",
    r"is no (?:share|number|text|network|file|image|recipe|budget|probability)": "is not a …",
    r"heed(?:s|ed)?|unheeded": "use, ignore",
    r"nobody|anybody": "no one; the passive",
    r"by our count": "counted by lightcnn",
    r"kept at": "left at",
    r"be it": "whether",
    r"of old|of late": "earlier",
    r"watchers?": "progress",
    r"bench(?:es)?": "setup",
    r"fullest|fewest of|utmost": "largest",
}
"""What is not written, as a pattern, and what to write instead."""
NAMES = ("held", "told", "said", "found", "one", "own")
"""Names that say nothing about what they hold: use the noun."""
FILES = (
    "lightcnn/**/*.py", "tests/**/*.py", "docs/**/*.md", "docs/*.py", "recipes/*.yaml", "search_spaces/*.yaml",
    "README.md", "CHANGELOG.md",
)  # fmt: skip
PATTERN = re.compile(rf"\b(?:{'|'.join(WORDS)})\b", re.IGNORECASE)


def pages() -> list[Path]:
    """Every file that people read, except this one."""
    return sorted(path for glob in FILES for path in ROOT.glob(glob) if path != Path(__file__))


def unwanted_words(text: str) -> Iterator[tuple[int, str]]:
    """Line and words of every match."""
    for number, line in enumerate(text.splitlines(), 1):
        for match in PATTERN.finditer(line):
            yield number, match.group()


def unwanted_names(text: str) -> Iterator[tuple[int, str]]:
    """Line and name of every variable, argument or function that is called like one of `NAMES`."""
    for node in ast.walk(ast.parse(text)):
        name = getattr(node, "id", None) or getattr(node, "arg", None) or getattr(node, "name", None)
        if isinstance(name, str) and (name in NAMES or name.strip("_") in NAMES or re.search(r"_(told|said)$", name)):
            yield getattr(node, "lineno", 0), name


def problems(path: Path) -> list[str]:
    """`FILE:LINE: words` of everything that the list forbids."""
    text = path.read_text(encoding="utf-8")
    hits = [*unwanted_words(text), *(unwanted_names(text) if path.suffix == ".py" else ())]
    return [f"{path.relative_to(ROOT)}:{number}: {words}" for number, words in sorted(hits)]


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_word_list_is_kept(path: Path) -> None:
    assert problems(path) == []


def test_the_word_list_finds_what_it_forbids() -> None:
    assert len(pages()) > 250
    assert [words for _, words in unwanted_words("It is told here,\nand stands there; a stand-in, standard.")] == [
        "told", "stands"
    ]  # fmt: skip
    assert [name for _, name in unwanted_names("def f(found):\n    return found.own")] == ["found", "found"]
