"""The types of the numbers in generated C, read from its text."""

from __future__ import annotations

import re
from collections.abc import Mapping

from lightcnn.exporting.subject import NumberTypes

COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
FLOATING = re.compile(r"\b(?:float|double)\b")


def number_types(files: Mapping[str, bytes]) -> NumberTypes:
    """The types of the arrays of weights and of activations, and of all floating-point variables of either file."""
    weights, model = (COMMENT.sub("", files[name].decode()) for name in ("weights.c", "model.c"))
    return NumberTypes(
        weights=_types(r"\bconst (\w+) model_bytes\[\] = ", weights),
        activations=_types(r"\bstatic (\w+) arena\[", model),
    )


def _types(declaration: str, text: str) -> frozenset[str]:
    """The type in a declaration without "_t", and the types of floating-point numbers anywhere in the text."""
    return frozenset(name.removesuffix("_t") for name in [*re.findall(declaration, text), *FLOATING.findall(text)])
