"""Networks in integers of 8 bits: how they are quantized, and what they compute, code for code like the generated C.

Begin with `network` (a quantized program) and `reference` (what it computes, in NumPy). `arithmetic` has the rescaling
of sums and `tables` those of functions. `post_training` quantizes a trained network: `calibration` runs its program in
floating point and measures the ranges of activations, `ranges` turns them into scales and zeros, `quantize` makes the
integers of every step, and `bias_correction` removes what rounding shifts.
"""
