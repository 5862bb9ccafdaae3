"""Which layers and which activations cost accuracy in 8 bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lightcnn.onnxfiles.layers import layers, names_of_activations
from lightcnn.onnxfiles.post_training import CalibratedNetwork, ValidationInputs
from lightcnn.onnxfiles.quantization import coded_activations
from lightcnn.progress import Progress

EXAMINED_IMAGES, EXAMINED_PARTS = 500, 100
"""Maximum numbers of validation images, and of layers and of activations that are examined."""
LOSS_POINTS = 0.5
"""Loss of validation accuracy, in percentage points, from which its causes are searched for."""
NAMED_PARTS, MIN_SHARE = 5, 0.1
"""Maximum numbers of layers and of activations that are named, and the least share of the log loss that each causes."""


def find_harm(
    calibrated: CalibratedNetwork, validation: ValidationInputs, progress: Progress
) -> dict[str, list[dict[str, Any]]]:
    """The `harmful_layers` and `harmful_activations` of a network that loses enough accuracy to be explained.

    A layer is harmful if the log loss is lower with the layer in float. The activations that it reads stay in 8 bits,
    since the layer before writes them. So each activation is examined in reverse: it alone is in 8 bits.
    """
    scores = calibrated.document
    lost = scores["fp32"]["accuracy"] - scores["methods"][scores["method"]]["accuracy"]
    if 100 * lost < LOSS_POINTS:
        return {"harmful_layers": [], "harmful_activations": []}

    def loss_of(network: bytes) -> float:
        return validation.scores(network, EXAMINED_IMAGES)["log_loss"]

    quantized = calibrated.int8()
    in_float, in_int8 = loss_of(calibrated.network), loss_of(quantized)
    least = MIN_SHARE * max(in_int8 - in_float, 0)
    names = names_of_activations(calibrated.network)
    worst_layers = _worst(
        [layer.name for layer in layers(calibrated.network)],
        lambda name: in_int8 - loss_of(calibrated.int8([name])),
        least, "leaving layers in float", progress,
    )  # fmt: skip
    worst_activations = _worst(
        coded_activations(quantized, calibrated.ranges),
        lambda name: loss_of(calibrated.with_coded(name)) - in_float,
        least, "coding activations", progress,
    )  # fmt: skip
    return {
        "harmful_layers": [{"layer": name, "log_loss_gained": loss} for name, loss in worst_layers],
        "harmful_activations": [
            {"activation": names.get(name, name), "log_loss_lost": loss} for name, loss in worst_activations
        ],
    }


def _worst(
    names: Sequence[str], harm: Callable[[str], float], least: float, step: str, progress: Progress
) -> list[tuple[str, float]]:
    """The names of the most harmful parts and their harm, if that is more than `least`, in descending order."""
    harms = {}
    for number, name in enumerate(names[:EXAMINED_PARTS]):
        progress(step, number, min(len(names), EXAMINED_PARTS))
        harms[name] = harm(name)
    worst = sorted(harms.items(), key=lambda item: -item[1])[:NAMED_PARTS]
    return [(name, value) for name, value in worst if value > least]
