"""Writes the generated parts of the pages: the Python reference, the levels of the architecture, the word list.

python docs/generate_pages.py
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "docs"), str(ROOT / "tests")]

import generate_reference
import test_layers
import test_wording

from lightcnn.output.warnings import MEANINGS

EXAMPLES = 4
"""Spellings of a pattern that the table of words shows."""


def pages() -> dict[Path, str]:
    """File → its text, with every generated part as it should be."""
    architecture, contributing = ROOT / "docs" / "architecture.md", ROOT / "CONTRIBUTING.md"
    warnings = ROOT / "docs" / "reference" / "warnings.md"
    return {
        generate_reference.PAGE: generate_reference.page(),
        architecture: _replaced(architecture, r"(?<=^```levels\n).*?(?=^```$)", levels()),
        warnings: _replaced(warnings, r"(?<=^<!-- codes -->\n\n).*?(?=\n<!-- end of codes -->$)", codes()),
        contributing: _replaced(contributing, r"(?<=^<!-- words -->\n\n).*?(?=\n<!-- end of words -->$)", words()),
    }


def _replaced(page: Path, pattern: str, text: str) -> str:
    """A page with `text` in its one part that matches `pattern`. Raises: SystemExit without such a part."""
    result, count = re.subn(pattern, lambda _: text, page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    if count != 1:
        raise SystemExit(f"{page}: has {count} parts that match {pattern}; keep exactly one")
    return result


def levels() -> str:
    """The levels of imports from the top down, one per line."""
    return "".join(f"{', '.join(parts)}\n" for parts in reversed(test_layers.LEVELS))


def codes() -> str:
    """The codes of warnings as a table."""
    return generate_reference.table(("code", "meaning"), [(f"`{code}`", text) for code, text in MEANINGS.items()])


def words() -> str:
    """The word list as a table."""
    rows = [(", ".join(spellings(pattern)), instead) for pattern, instead in test_wording.WORDS.items()]
    names = ", ".join(f"`{name}`" for name in test_wording.NAMES)
    rows.append((f"{names} as the name of a variable, an argument or a function", "the noun of what it holds"))
    return generate_reference.table(("avoid", "write"), rows)


def spellings(pattern: str) -> list[str]:
    """The first texts that a pattern of the word list matches, and an ellipsis if there are more."""
    texts = list(dict.fromkeys(" ".join(text.split()) for text in islice(_expand(pattern), 500)))
    return texts[:EXAMPLES] + ["…"] * (len(texts) > EXAMPLES)


def _expand(pattern: str) -> Iterator[str]:
    """All texts of a pattern of letters, alternatives, groups and `?`; what lies ahead or behind is left out."""
    for choice in _choices(pattern):
        match = re.match(r"[^(?]*", choice)
        assert match is not None
        plain, rest = match.group(), choice[match.end() :]
        if rest.startswith("?"):
            texts, rest = [plain[:-1], plain], rest[1:]
        elif rest:
            end = _closing(rest)
            inner = rest[3:end] if rest.startswith("(?:") else ""
            rest = rest[end + 1 :]
            texts = [plain + text for text in _expand(inner)]
            if rest.startswith("?"):
                texts, rest = [plain, *texts], rest[1:]
        else:
            texts = [plain]
        yield from (text + after for text in texts for after in _expand(rest)) if rest else texts


def _choices(pattern: str) -> list[str]:
    """The alternatives of a pattern outside of any group."""
    depth, ends = 0, [-1]
    for place, letter in enumerate(pattern):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "|" and depth == 0:
            ends.append(place)
    return [pattern[start + 1 : end] for start, end in zip(ends, [*ends[1:], len(pattern)], strict=True)]


def _closing(text: str) -> int:
    """The place of the parenthesis that closes the first one."""
    depth = 0
    for place, letter in enumerate(text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth == 0:
            return place
    raise SystemExit(f"{text}: a group is not closed")


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
