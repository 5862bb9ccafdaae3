"""The files of generated C: deterministic, safe for untrusted names, and the classes that they decide on."""

from __future__ import annotations

import subprocess
from pathlib import Path
from random import Random

import numpy as np
import pytest
from helpers.c_code import compile_c, facts_of, needs_gcc, trace, write_files
from helpers.integer_networks import random_network, random_pixels
from helpers.specs import random_spec

from lightcnn.decisions import class_probabilities, decide
from lightcnn.exporting.c.decision import least_difference, least_logit
from lightcnn.exporting.c.layers import layers_of
from lightcnn.exporting.c.number_types import number_types
from lightcnn.exporting.c.source_files import CFacts, c_files, c_string
from lightcnn.integer import reference
from lightcnn.integer.network import IntegerNetwork
from lightcnn.memory_plan import byte_count, constant_bytes, word_count
from lightcnn.program import program
from lightcnn.spec import ConvBlock, HeadSpec, NetworkSpec

UNTRUSTED = ('"; system("x"); //', "*/ #error ??/", "new\nline \x1b[31m", "ÄÖ 猫 %s\\", "")


def _network(classes: int = 2, **head: str) -> IntegerNetwork:
    spec = NetworkSpec(input=(1, 6, 5), stages=(ConvBlock(width=3),), classes=classes, head=HeadSpec(**head))
    return random_network(program(spec), 0)


@pytest.mark.parametrize("seed", range(30))
def test_constants_are_as_many_as_planned(seed: int) -> None:
    network = random_network(program(random_spec(Random(seed))), seed)
    layers = layers_of(network)
    assert sum(layer.words.size for layer in layers) == word_count(network.program)
    assert sum(layer.bytes.size for layer in layers) == byte_count(network.program)
    assert constant_bytes(network.program) == 4 * word_count(network.program) + byte_count(network.program) + 48 * len(
        layers
    )


def test_equal_networks_give_equal_bytes() -> None:
    network = _network()
    assert c_files(network, facts_of(network)) == c_files(_network(), facts_of(network))
    text = b"".join(c_files(network, facts_of(network)).values()).decode()
    assert str(Path.cwd()) not in text and "/home" not in text and "202" not in text.replace("lightcnn", "")[:200]


def test_types_are_read_from_the_files() -> None:
    files = c_files(_network(), facts_of(_network()))
    assert number_types(files).is_int8
    wider = files | {"model.c": files["model.c"].replace(b"static int8_t arena", b"static int16_t arena")}
    assert str(number_types(wider)) == "weights in int8 and activations in int16"
    floating = files | {"weights.c": files["weights.c"] + b"const float more[] = {1};"}
    assert str(number_types(floating)) == "weights in float, int8 and activations in int8"
    assert not number_types(wider).is_int8 and not number_types(floating).is_int8
    assert not number_types(dict.fromkeys(files, b"")).is_int8


@pytest.mark.parametrize("threshold", [0.5, 0.1, 0.93, 1e-9])
@pytest.mark.parametrize("temperature", [1.0, 0.3, 4.0])
def test_two_logits_decide_as_probabilities_do(temperature: float, threshold: float) -> None:
    network = _network()
    least = least_difference(network, temperature, threshold)
    codes = np.random.default_rng(0).integers(-128, 128, (2000, 2))
    logits = network.logits.scale * (codes - network.logits.zero)
    expected = decide(class_probabilities(logits, temperature), threshold)
    np.testing.assert_array_equal(codes[:, 1] - codes[:, 0] >= least, expected)


@pytest.mark.parametrize("threshold", [0.5, 0.1, 0.93, 1e-9])
def test_a_single_logit_decides_as_probabilities_do(threshold: float) -> None:
    network = _network(output="sigmoid")
    codes = np.arange(-128, 128)
    logits = network.logits.scale * (codes[:, None] - network.logits.zero)
    expected = decide(class_probabilities(logits, 0.7), threshold)
    np.testing.assert_array_equal(codes >= least_logit(network, 0.7, threshold), expected)


@needs_gcc
@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
@pytest.mark.parametrize("threshold", [1e-300, 1 - 1e-16])
def test_a_class_that_no_logit_gives_compiles_without_warnings(output: str, threshold: float, tmp_path: Path) -> None:
    network = _network(output=output)
    pixels = random_pixels(network.program, 2, 0)
    _, classes = trace(tmp_path, network, pixels, facts_of(network, temperature=9.0, threshold=threshold), ("-O2",))
    assert set(classes) == {int(threshold < 0.5)}


def test_strings_of_c_hold_only_plain_characters() -> None:
    for name in UNTRUSTED:
        assert set(c_string(name)[1:-1]) <= set("\\") | {c for c in map(chr, range(32, 127)) if c not in '"?*%'}


@needs_gcc
def test_main_reads_images_and_refuses_damaged_ones(tmp_path: Path) -> None:
    network = _network(classes=5)
    write_files(tmp_path, c_files(network, CFacts(UNTRUSTED)))
    run = compile_c(tmp_path, "main.c", "model.c", "weights.c")
    pixels = random_pixels(network.program, 1, 3)
    good = b"P5 # a comment\n5 6\n255\n" + pixels.tobytes()
    damaged = {
        "empty": b"", "magic": b"P6" + good[2:], "size": good.replace(b"5 6", b"6 5"),
        "depth": good.replace(b"255", b"65535"),
        "short": good[:-1], "long": good + b"x", "huge": good.replace(b"5 6", b"99999999999999999999 6"),
        "negative": good.replace(b"5 6", b"-5 6"), "comment": b"P5 # endless", "header": b"P5 5 6 255",
    }  # fmt: skip
    for name, content in {"good": good, **damaged}.items():
        (tmp_path / name).write_bytes(content)
    result = subprocess.run([run, "good"], cwd=tmp_path, capture_output=True, text=True, timeout=20)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"class {reference.run(network, pixels)[0].argmax()}: ")
    assert "\x1b" not in result.stdout
    for name in (*damaged, "missing"):
        result = subprocess.run([run, name], cwd=tmp_path, capture_output=True, text=True, timeout=20)
        assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), (name, result.stderr)
