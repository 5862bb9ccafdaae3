"""Which operators of torch are counted, by which formula, and which are known to have no multiply-adds.

The convention counts convolutions and matrix products. An operator that is in neither list is reported in a note.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

NORMS = (
    "native_batch_norm", "_native_batch_norm_legit_no_training", "_native_batch_norm_legit", "cudnn_batch_norm",
    "miopen_batch_norm", "native_layer_norm", "native_group_norm", "_fused_rms_norm", "_batch_norm_no_update",
)  # fmt: skip
BATCH_NORMS = tuple(name for name in NORMS if "batch" in name)
COPY_OPERATORS = ("clone", "_to_copy", "copy_")
UNTAGGED_ACTIVATIONS = ("hardswish", "hardsigmoid", "mish", "elu", "leaky_relu", "softplus", "_prelu_kernel")
"""Activations of which torch does not mark all as pointwise."""
NAMESPACES = ("aten", "prim", "prims", "torchvision")
"""Libraries whose operators are known by name."""
_FREE_NAMES = """
    transpose t squeeze unsqueeze swapaxes swapdims as_strided
    clone _to_copy copy cat stack constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d
    replication_pad1d replication_pad2d replication_pad3d roll flip index index_select index_put _index_put_impl
    index_fill index_copy index_add gather scatter scatter_add scatter_reduce masked_fill masked_scatter
    masked_select repeat repeat_interleave take im2col col2im unfold unsafe_split unsafe_split_with_sizes
    unsafe_chunk split_copy split_with_sizes_copy _unsafe_view _unsafe_index _reshape_alias _reshape_copy
    expand_copy permute_copy view_copy pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle
    embedding tril triu diag_embed rot90 select_scatter slice_scatter diagonal_scatter as_strided_scatter fill
    zero set resize lift_fresh lift_fresh_copy detach alias _conj _neg_view resolve_conj resolve_neg complex polar
    view_as_real view_as_complex block_diag empty_like zeros_like ones_like full_like rand_like randn_like
    randint_like new_empty new_empty_strided new_zeros new_ones new_full empty_strided bernoulli uniform normal
    random exponential multinomial native_dropout dropout sum mean amax amin aminmax max min argmax argmin prod
    var std var_mean std_mean norm linalg_vector_norm logsumexp logcumsumexp cumsum cumprod cummax cummin any all
    nansum nanmean median nanmedian mode count_nonzero topk sort kthvalue argsort searchsorted bucketize trace
    _softmax _log_softmax _safe_softmax softmax log_softmax _masked_softmax glu rrelu_with_noise
    _weight_norm_interface renorm equal _local_scalar_dense is_nonzero nonzero _unique2 unique_dim
    unique_consecutive device is_same_size _assert_async _assert_tensor_metadata _assert_scalar _is_all_true
    _is_any_true _nested_tensor_from_mask_left_aligned nms max_pool1d max_pool2d max_pool3d
    max_pool2d_with_indices max_pool3d_with_indices avg_pool1d avg_pool2d avg_pool3d _adaptive_avg_pool2d
    _adaptive_avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool1d adaptive_max_pool2d
    adaptive_max_pool3d fractional_max_pool2d fractional_max_pool3d max_unpool2d max_unpool3d grid_sampler_2d
    grid_sampler_3d cudnn_grid_sampler roi_align roi_pool ps_roi_align ps_roi_pool
"""
"""Operators that move, choose, reduce, pool or resample, without convolutions and matrix products."""
_FREE = frozenset(_FREE_NAMES.split())
_FREE_PREFIXES = ("upsample_", "_upsample_", "_foreach_")


def formula(operator: str) -> Callable[[Any, Any], int] | None:
    """The function that gives the multiply-adds of an operator from its arguments and its result, if it is counted.

    An operator that writes into its input, such as `addmm_`, counts like the one that does not.
    """
    return _FORMULAS.get(operator.removesuffix("_"))


def is_free(func: Any, namespace: str, operator: str) -> bool:
    """Whether an operator is known to have no multiply-adds."""
    if torch.Tag.pointwise in func.tags:
        return True
    name = operator.removesuffix("_")
    known = name in _FREE or name in NORMS or name in UNTAGGED_ACTIVATIONS or name.startswith(_FREE_PREFIXES)
    return namespace in NAMESPACES and (known or bool(getattr(func, "is_view", False)))


def _convolution(args: Any, out: Tensor) -> int:
    """Multiply-adds; args: image, weight (out, in / groups, ...), bias, stride, padding, dilation, transposed, ..."""
    image, weight, transposed = args[0], args[1], args[6]
    return int((image if transposed else out).numel() * math.prod(weight.shape[1:]))


def _deformable(args: Any, out: Tensor) -> int:
    """Multiply-adds; args: image, weight (out, in / groups, h, w), ... The bilinear sampling is not counted."""
    return int(out.numel() * math.prod(args[1].shape[1:]))


def _time_convolution(args: Any, out: Tensor) -> int:
    """Multiply-adds; args: sequence (time, N, in), weight (width, in, out), ..."""
    return int(out.numel() * math.prod(args[1].shape[:2]))


def _product(first: int, args: Any, out: Any) -> int:
    """Multiply-adds of args[first] (..., n, m) times args[first + 1] (..., m, p), or times a vector (m)."""
    left, right = args[first], args[first + 1]
    return int(left.numel() * (right.shape[-1] if right.ndim > 1 else 1))


def _outer(args: Any, out: Any) -> int:
    return int(args[1].numel() * args[2].numel())


def _trilinear(args: Any, out: Any) -> int:
    """Multiply-adds of x (N, n) times weights (out, n, m), and of that times y (N, m), as in torch's einsum."""
    x, weight, y = args[:3]
    return int(x.shape[0] * (weight.numel() + weight.shape[0] * y.shape[-1]))


def _attention(args: Any, out: Any) -> int:
    """Multiply-adds of queries (N, heads, n, e) times keys (N, heads, m, e), and of their product times values."""
    queries, keys, values = args[:3]
    return int(math.prod(queries.shape[:-1]) * keys.shape[-2] * (queries.shape[-1] + values.shape[-1]))


_FORMULAS: dict[str, Callable[[Any, Any], int]] = {
    "convolution": _convolution,
    "deform_conv2d": _deformable,
    "conv_tbc": _time_convolution,
    "_trilinear": _trilinear,
    "addr": _outer,
    **dict.fromkeys(("mm", "bmm", "mv", "dot", "vdot", "_int_mm", "_scaled_mm"), partial(_product, 0)),
    **dict.fromkeys(("addmm", "baddbmm", "addbmm", "addmv", "_addmm_activation"), partial(_product, 1)),
    **dict.fromkeys(
        (
            "_scaled_dot_product_flash_attention", "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention",
            "_scaled_dot_product_fused_attention_overrideable",
        ),
        _attention,
    ),
}  # fmt: skip
