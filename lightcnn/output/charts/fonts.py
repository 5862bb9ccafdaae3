r"""Fonts for names in any script: installed fonts complete that of matplotlib; what none has is escaped, as \u826f."""

from __future__ import annotations

import re
from functools import cache

from lightcnn.output.charts.plotting import Figure, FontProperties, Text, findfont, fontManager, get_font

FALLBACKS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Noto Sans JP", "Source Han Sans SC", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "Droid Sans Fallback", "Microsoft YaHei", "SimHei", "Malgun Gothic", "PingFang SC",
    "Hiragino Sans GB", "Apple SD Gothic Neo", "Arial Unicode MS", "Noto Sans Devanagari", "Noto Emoji",
    "Segoe UI Symbol", "Segoe UI Emoji", "Symbola",
)  # fmt: skip
"""Families for characters that matplotlib's font lacks. It cannot draw fonts of coloured bitmaps."""
ESCAPE = re.compile(r"\\u[0-9a-f]{4}|\\U[0-9a-f]{8}")
NOTE = r"\u codes are characters that no installed font has; report.html shows them"


@cache
def fallback_families() -> tuple[str, ...]:
    """The families of `FALLBACKS` that are installed."""
    installed = {font.name for font in fontManager.ttflist}
    return tuple(name for name in FALLBACKS if name in installed)


@cache
def _drawable_characters() -> frozenset[int]:
    """The characters that the default font or one of the fallbacks has."""
    families = (FontProperties(), *(FontProperties(family=name) for name in fallback_families()))
    return frozenset(code for family in families for code in get_font(findfont(family)).get_charmap())


def drawable(text: str) -> str:
    """The text with characters that no font has as escapes."""
    if text.isascii():
        return text
    known = _drawable_characters()
    return "".join(c if ord(c) in known else c.encode("unicode_escape").decode() for c in text)


def use_fallbacks(figure: Figure) -> None:
    """Lets all texts of a figure use the fallbacks, and explains escapes below it, if it has any."""
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    if not all(text.get_text().isascii() for text in texts):
        for text in texts:
            text.set_fontfamily([*dict.fromkeys((*text.get_fontfamily(), *fallback_families()))])
    if any(ESCAPE.search(text.get_text()) for text in texts):
        figure.supxlabel(NOTE, fontsize=7, color="#555555")


def remove_note(figure: Figure) -> None:
    """Removes the explanation of escapes: pages show the characters elsewhere."""
    if figure.get_supxlabel() == NOTE:
        figure.supxlabel("")
