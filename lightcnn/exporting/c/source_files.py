"""The C99 of a quantized network as text: equal networks give equal bytes. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from lightcnn.exporting.c import decision
from lightcnn.exporting.c.layers import FIELDS, CLayer, layers_of
from lightcnn.integer.network import IntegerNetwork
from lightcnn.memory_plan import RECORD_BYTES, plan_memory
from lightcnn.program import OPERATORS, PIXELS
from lightcnn.text import visible
from lightcnn.version import __version__

VALUES = 16
"""Constants in a line."""
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .,:;+-_/()")
"""Characters of class names that are written as they are; all others are escaped."""


@dataclass(frozen=True)
class CFacts:
    """What the generated C states beside the network.

    Args:
        classes: Names of the classes.
        temperature: What the caller divides the logits by, for probabilities.
        threshold: Probability of the second of two classes from which it is predicted.
    """

    classes: tuple[str, ...]
    temperature: float = 1.0
    threshold: float = 0.5


def c_files(network: IntegerNetwork, facts: CFacts) -> dict[str, bytes]:
    """The files of a network by name: model.h, model.c, weights.c, main.c and Makefile.

    Raises: InputError if a layer exceeds what C with 32 bits can compute.
    """
    layers = layers_of(network)
    texts = {
        "model.h": _header(network, facts),
        "model.c": _model(network, facts, layers),
        "weights.c": _weights(layers),
        "main.c": shipped("main.c"),
        "Makefile": shipped("Makefile"),
    }
    return {name: text.encode() for name, text in texts.items()}


def shipped(name: str) -> str:
    """The text of a file beside this module."""
    return (files("lightcnn.exporting.c") / name).read_text(encoding="utf-8")


def _header(network: IntegerNetwork, facts: CFacts) -> str:
    program, plan = network.program, plan_memory(network.program)
    channels, height, width = program.shapes[PIXELS]
    constants = {
        "MODEL_INPUT_HEIGHT": height,
        "MODEL_INPUT_WIDTH": width,
        "MODEL_INPUT_CHANNELS": channels,
        "MODEL_CLASSES": len(facts.classes),
        "MODEL_LOGITS": program.elements(program.output),
        "MODEL_LOGITS_SCALE": repr(float(network.logits.scale)),
        "MODEL_LOGITS_ZERO": network.logits.zero,
        "MODEL_TEMPERATURE": repr(float(facts.temperature)),
        "MODEL_THRESHOLD": repr(float(facts.threshold)),
        "MODEL_ARENA_BYTES": plan.arena_bytes,
    }
    defines = "\n".join(f"#define {name} {value}" for name, value in constants.items())
    names = ", \\\n    ".join(c_string(visible(name)) for name in facts.classes)
    return _HEADER.format(version=__version__, defines=defines, names=names)


_HEADER = """\
/*
 * A quantized network in C99: static memory, integers only. Written by lightcnn {version}.
 *
 * Write MODEL_INPUT_HEIGHT rows of MODEL_INPUT_WIDTH pixels of MODEL_INPUT_CHANNELS bytes 0..255 to model_input(); do
 * not normalise them. Then call model_predict(). It uses the memory of the pixels: write them again before each call.
 * All functions share one static buffer, so only one thread may call them.
 *
 * Logits are MODEL_LOGITS_SCALE * (code - MODEL_LOGITS_ZERO). Probabilities, which the caller may compute, are the
 * softmax of the logits divided by MODEL_TEMPERATURE; for a single logit, the sigmoid is that of the second class.
 * With two classes, the second one is predicted if its probability is at least MODEL_THRESHOLD (above it for 0.5).
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

{defines}
#define MODEL_CLASS_NAMES \\
    {names}

/* The pixels of the next image. */
uint8_t *model_input(void);

/* Computes the network, and returns the number of the class, from 0. */
int model_predict(void);

/* The codes of the logits of the last image, valid until pixels are written. */
const int8_t *model_logits(void);

#ifdef __cplusplus
}}
#endif

#endif
"""


def c_string(text: str) -> str:
    """A string literal of C, whatever the text contains."""
    encoded = text.encode(errors="replace")
    return '"' + "".join(chr(byte) if byte in _PLAIN else f"\\{byte:03o}" for byte in encoded) + '"'


def _model(network: IntegerNetwork, facts: CFacts, layers: Sequence[CLayer]) -> str:
    """The kernels that the network uses, its records, and the functions of model.h."""
    used = {layer.operator for layer in layers}
    offsets = plan_memory(network.program).offsets
    private = {
        "MODEL_RECORD_BYTES": RECORD_BYTES,
        "MODEL_LAYERS": len(layers),
        "MODEL_INPUT_OFFSET": offsets[PIXELS],
        "MODEL_LOGITS_OFFSET": offsets[network.program.output],
        "MODEL_LEAST_LOGIT": decision.least_logit(network, facts.temperature, facts.threshold),
        "MODEL_LEAST_DIFFERENCE": decision.least_difference(network, facts.temperature, facts.threshold),
        **{f"USES_{operator.upper()}": int(operator in used) for operator in OPERATORS},
    }
    defines = "\n".join(f"#define {name} {value}" for name, value in private.items())
    declarations = "extern const int32_t model_words[];\nextern const int8_t model_bytes[];\n"
    records = "\n".join(_record(layer) for layer in layers)
    table = f"\nstatic const Layer layers[MODEL_LAYERS] = {{\n{records}\n}};\n"
    head = f'#include "model.h"\n\n{defines}\n\n{declarations}\n'
    return head + shipped("kernels.c") + table + shipped("interface.c")


def _record(layer: CLayer) -> str:
    values = [layer.operator.upper() if name == "operator" else str(layer.record[name]) for name in FIELDS]
    return f"    {{{', '.join(values)}}}, /* {layer.name} */"


def _weights(layers: Sequence[CLayer]) -> str:
    """The two arrays of constants, with the name of every layer."""
    words = _array("int32_t model_words", ((layer.name, layer.words) for layer in layers))
    codes = _array("int8_t model_bytes", ((layer.name, layer.bytes) for layer in layers))
    return f'#include "model.h"\n\n{words}\n{codes}'


def _array(declaration: str, parts: Iterable[tuple[str, NDArray[np.integer]]]) -> str:
    lines = [f"extern const {declaration}[];", f"const {declaration}[] = {{"]
    for name, values in parts:
        if values.size:
            lines.append(f"    /* {name} */")
            lines += [f"    {','.join(map(str, row))}," for row in _rows(values.tolist())]
    return "\n".join([*lines, "};", ""])


def _rows(values: Sequence[int]) -> list[Sequence[int]]:
    return [values[start : start + VALUES] for start in range(0, len(values), VALUES)]
