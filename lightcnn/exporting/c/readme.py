"""The README beside generated C."""

from __future__ import annotations

from lightcnn.exported_metadata import NOTICE
from lightcnn.exporting.c.source_files import CFacts
from lightcnn.integer.network import IntegerNetwork
from lightcnn.memory_plan import constant_bytes, flash_bytes, plan_memory
from lightcnn.output.markdown import table
from lightcnn.program import PIXELS

STACK_BYTES = 512
"""More than the stack of a call on a Cortex-M: 284 bytes at -Os and 316 at -O2, with all kernels, were measured."""


def readme(network: IntegerNetwork, facts: CFacts, preprocessing: str) -> str:
    """The README of a network. `preprocessing` is what the caller does with an image, as a sentence."""
    channels, height, width = network.program.shapes[PIXELS]
    rows = [
        ("flash", f"at most {flash_bytes(network.program):,} bytes at -Os on a Cortex-M4"),
        ("of it constants", f"{constant_bytes(network.program):,} bytes"),
        ("static RAM", f"{plan_memory(network.program).arena_bytes:,} bytes, image and outputs included"),
        ("stack", f"under {STACK_BYTES} bytes on a Cortex-M"),
        ("input", f"{height} rows of {width} pixels of {channels} byte{'s' * (channels > 1)}"),
        ("logits", f"{network.logits.scale!r} * (code - {network.logits.zero})"),
        ("temperature", repr(facts.temperature)),
        ("threshold", repr(facts.threshold)),
    ]
    classes = [(str(index), name) for index, name in enumerate(facts.classes)]
    return _README.format(
        notice=NOTICE, facts=table(("", ""), rows), classes=table(("number", "class"), classes),
        preprocessing=preprocessing, probabilities=_probabilities(network, facts),
    )  # fmt: skip


def _probabilities(network: IntegerNetwork, facts: CFacts) -> str:
    """How the class follows from the logits, and how the caller computes probabilities."""
    if network.program.elements(network.program.output) == 1:
        start = "The probability of the second class is the sigmoid of the logit divided by the temperature."
    else:
        start = "Probabilities are the softmax of the logits divided by the temperature."
    rule = "The predicted class has the largest logit."
    if len(facts.classes) == 2:
        rule = "The second class is predicted if its probability reaches the threshold; the C compares codes for it."
    return f"{start} The C does not compute them. {rule}"


_README = """\
# A quantized network in C

{notice}

{facts}

The network computes in integers: int8 weights and activations, and int32 sums. It needs a C99 compiler, and no library
and no heap.

## Call

Compile `model.c` and `weights.c`, and include `model.h`:

```c
#include "model.h"

uint8_t *pixels = model_input();
/* Write the pixels here, row by row. The call overwrites them. */
int class_number = model_predict();
const int8_t *codes = model_logits();
```

{preprocessing}

{probabilities}

## Build

`make` builds `predict` for this computer, which prints the class of a binary PGM or PPM of the size of the network:
`./predict image.pgm`. `make CROSS=arm-none-eabi-` builds `model.a` for a Cortex-M4, and prints its sizes;
`make CROSS=arm-none-eabi- ARCH="-mcpu=cortex-m7 -mthumb"` builds it for another processor.

## Classes

{classes}
"""
