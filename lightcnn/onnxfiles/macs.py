"""Which operators of ONNX and ONNX Runtime are counted, by which formula, and which have no multiply-adds.

The rules are those of `counting.macs`: convolutions and matrix products, whatever operator contains them. An operator
in neither table is reported in a note.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

Size = tuple[int, ...]
Attributes = Mapping[str, Any]
Formula = Callable[[Attributes, Sequence[Size], Size], int | None]
"""Attributes, sizes of the inputs ((-1,) if omitted) and size of the first output → multiply-adds; None if unknown."""
OMITTED: Size = (-1,)


@dataclass(frozen=True)
class Rule:
    """How an operator is counted; `factors` are the positions of the inputs that it multiplies."""

    factors: tuple[int, ...]
    macs: Formula


def _convolution(weight: int, attributes: Attributes, sizes: Sequence[Size], out: Size) -> int:
    """Each output is a sum over the weight (out, in / groups, ...); the sampling of DeformConv is not counted."""
    return math.prod(out) * math.prod(sizes[weight][1:])


def _transposed(attributes: Attributes, sizes: Sequence[Size], out: Size) -> int:
    return math.prod(sizes[0]) * math.prod(sizes[1][1:])


def _product(attributes: Attributes, sizes: Sequence[Size], out: Size) -> int:
    return math.prod(out) * sizes[0][-2 if attributes.get("transA") else -1]


def _affine_grid(attributes: Attributes, sizes: Sequence[Size], out: Size) -> int:
    return math.prod(out) * sizes[0][-1]


def _recurrent(attributes: Attributes, sizes: Sequence[Size], out: Size) -> int:
    """In each step of a sequence (time, N, in), the weights of all directions are multiplied once."""
    sequence, weights, recurrent = sizes[:3]
    return math.prod(sequence[:-1]) * (math.prod(weights) + math.prod(recurrent))


def _attention(past: int, attributes: Attributes, sizes: Sequence[Size], out: Size) -> int | None:
    """Queries times keys, and that times values: ((N, heads,) n, e) times m, and the same for the output."""
    queries, keys = sizes[:2]
    if keys == OMITTED or len(keys) != len(queries) or max(attributes.get("local_window_size", -1), 0):
        return None  # queries, keys and values in one tensor, or a part of the keys
    earlier = sizes[past][-2] if len(sizes) > past and sizes[past] != OMITTED else 0
    return (math.prod(queries) + math.prod(out)) * (keys[-2] + earlier)


def _projected_attention(past: int, attributes: Attributes, sizes: Sequence[Size], out: Size) -> int:
    """Tokens (N, n, in) times weights (in, queries + keys + values), then attention; past: (2, N, heads, m, e)."""
    tokens, weights = sizes[:2]
    queries = attributes.get("qkv_hidden_sizes", [weights[1] // 3])[0]
    keys = tokens[-2] + (sizes[past][-2] if len(sizes) > past and sizes[past] != OMITTED else 0)
    return math.prod(tokens) * weights[1] + math.prod(tokens[:-1]) * keys * int(queries + out[-1])


def _einsum(attributes: Attributes, sizes: Sequence[Size], out: Size) -> int:
    """Operands are multiplied from left to right, as torch does it; a product without a sum is not counted."""
    terms, result = _indices(attributes["equation"].decode(), sizes)
    lengths: dict[str, int] = {}
    for term, size in zip(terms, sizes, strict=True):
        for index, length in zip(term, size, strict=True):
            lengths[index] = max(length, lengths.get(index, 1))
    total, left = 0, set(terms[0])
    for place, term in enumerate(terms[1:], 1):
        right, later = set(term), set(result).union(*terms[place + 1 :])
        summed = (left & right) - later
        left, right = left & (right | later), right & (left | later)  # the others are summed up before
        if summed:
            total += math.prod(lengths[index] for index in left | right)
        left = (left | right) & later
    return total


def _indices(equation: str, sizes: Sequence[Size]) -> tuple[list[str], str]:
    """The indices of each operand and of the result; the dimensions of an ellipsis are the digits, from the right."""
    left, arrow, result = equation.replace(" ", "").partition("->")
    terms, longest = [], ""
    for term, size in zip(left.split(","), sizes, strict=True):
        named = len(term.replace("...", ""))
        dots = "".join(map(str, range(len(size) - named)))[::-1]
        longest = max(longest, dots, key=len)
        terms.append(term.replace("...", dots))
    if not arrow:
        names = re.findall(r"[A-Za-z]", left)
        result = "..." + "".join(sorted(name for name in set(names) if names.count(name) == 1))
    return terms, result.replace("...", longest)


RULES: dict[str, Rule] = {
    **dict.fromkeys(
        ("Conv", "FusedConv", "ConvInteger", "DeformConv", "CausalConvWithState"),
        Rule((0, 1), partial(_convolution, 1)),
    ),
    "QLinearConv": Rule((0, 3), partial(_convolution, 3)),
    "ConvTranspose": Rule((0, 1), _transposed),
    **dict.fromkeys(
        (
            "Gemm", "FusedGemm", "GemmFastGelu", "MatMul", "FusedMatMul", "FusedMatMulActivation", "TransposeMatMul",
            "MatMulInteger", "MatMulInteger16", "MatMulIntegerToFloat", "DynamicQuantizeMatMul",
        ),
        Rule((0, 1), _product),
    ),
    **dict.fromkeys(("QGemm", "QLinearMatMul"), Rule((0, 3), _product)),
    "AffineGrid": Rule((0,), _affine_grid),
    **dict.fromkeys(("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"), Rule((0, 1, 2), _recurrent)),
    "Attention": Rule((0, 1, 2), partial(_attention, 4)),
    "GroupQueryAttention": Rule((0, 1, 2), partial(_attention, 3)),
    "MultiHeadAttention": Rule((0, 1, 2), partial(_attention, 6)),
    "com.microsoft.Attention": Rule((0, 1), partial(_projected_attention, 4)),
    "QAttention": Rule((0, 1), partial(_projected_attention, 8)),
    "Einsum": Rule(tuple(range(26)), _einsum),
}  # fmt: skip
"""Counted operator → its rule."""
_FREE_NAMES = """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Bernoulli BiasAdd BiasGelu
    BiasSoftmax BiasSplitGelu BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow Cast CastLike
    Ceil Celu CenterCropPad Clip Col2Im Compress Concat ConstantOfShape Cos Cosh CumProd CumSum DepthToSpace
    DequantizeLinear Div Dropout DynamicQuantizeLinear Elu Equal Erf Exp Expand ExpandDims EyeLike FastGelu Flatten
    Floor Gather GatherElements GatherND Gelu GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual
    GridSample GroupNorm GroupNormalization HammingWindow HannWindow HardSigmoid HardSwish Hardmax Identity
    InstanceNormalization IsInf IsNaN LRN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization
    LpPool Max MaxPool MaxRoiPool MaxUnpool MaxpoolWithMask Mean MeanVarianceNormalization MelWeightMatrix Min Mish Mod
    Mul MulInteger Multinomial Neg NegativeLogLikelihoodLoss NhwcMaxPool NonMaxSuppression NonZero Not OneHot Or PRelu
    Pad Pow QLinearAdd QLinearAveragePool QLinearConcat QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul
    QLinearReduceMean QLinearSigmoid QLinearSoftmax QLinearWhere QuantizeLinear QuickGelu RMSNormalization RandomNormal
    RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp
    ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumInteger ReduceSumSquare Relu Reshape Resize
    ReverseSequence RoiAlign RotaryEmbedding Round Scatter ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign
    SimplifiedLayerNormalization Sin Sinh Size SkipGroupNorm SkipLayerNormalization SkipSimplifiedLayerNormalization
    Slice Softmax SoftmaxCrossEntropyLoss Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum SwiGLU Swish Tan
    Tanh TensorScatter ThresholdedRelu Tile TopK Transpose Trilu Unique Unsqueeze Upsample Where Xor
"""
FREE = frozenset(_FREE_NAMES.split())
"""Operators that move, choose, reduce, pool or resample, without convolutions and matrix products."""
