"""Quantizes a trained network: ranges from training images, integers from its weights, corrected biases. With torch."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lightcnn.data.preprocess import Preprocess
from lightcnn.errors import InputError
from lightcnn.integer.bias_correction import correct_biases
from lightcnn.integer.calibration import measure_means, measure_ranges
from lightcnn.integer.network import IntegerNetwork
from lightcnn.integer.quantize import quantize
from lightcnn.program import Program

CORRECTION_IMAGES = 128
"""Largest number of images on which biases are corrected."""
CORRECTION_ELEMENTS = 16_000_000
"""Largest size of a tensor of all these images, in bytes."""


def quantize_network(
    program: Program, state: Mapping[str, Tensor], images: Tensor, preprocess: Preprocess
) -> IntegerNetwork:
    """Quantizes a trained network to 8 bits.

    The ranges are the smallest and largest outputs on the images. Percentiles of 99.9 to 99.999, ranges of the smallest
    mean squared error, and mean ranges of single images were tried on five networks and 3,000 validation images of
    Fashion-MNIST: the accuracy differed by at most 0.3 points in either direction (mean ranges lost up to 0.7), and the
    divergence from the probabilities in float was not consistently smaller, so that there is nothing to choose.

    Args:
        program: The program of the network.
        state: The weights and biases of the folded network by name, on the CPU.
        images: uint8 training images (N, C, S, S); about 256 are enough.
        preprocess: The preprocessing of the network.

    Returns:
        The quantized network.

    Raises:
        InputError: If there are no images, if weights or outputs are not finite, or if sums could exceed int32.

    Example:
        >>> import lightcnn, torch
        >>> from lightcnn.data.preprocess import Preprocess
        >>> from lightcnn.integer.post_training import quantize_network
        >>> from lightcnn.program import program
        >>> spec = lightcnn.Recipe.load("quick").network
        >>> preprocess = Preprocess(
        ...     size=16, channels=1, shorter_side=16, mean=(0.5,), deviation=(0.3,), classes=tuple("0123456789")
        ... )
        >>> images = torch.randint(0, 256, (8, 1, 16, 16), dtype=torch.uint8)
        >>> weights = lightcnn.fold(lightcnn.build(spec, seed=0)).state_dict()
        >>> len(quantize_network(program(spec), weights, images, preprocess).steps) > 3
        True
    """
    if not len(images):
        raise InputError("int8: no training images to measure the ranges of activations; give at least one")
    arrays = {name: tensor.detach().float().numpy() for name, tensor in state.items()}
    ranges = measure_ranges(program, state, images, preprocess)
    network = quantize(program, arrays, ranges=ranges, mean=preprocess.mean, deviation=preprocess.deviation)
    few = images[: max(1, min(CORRECTION_IMAGES, CORRECTION_ELEMENTS // program.largest))]
    means = measure_means(program, state, few, preprocess)
    return correct_biases(network, arrays, means=means, pixels=few.movedim(1, 3).contiguous().numpy())
