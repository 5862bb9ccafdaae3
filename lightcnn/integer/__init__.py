"""Networks in integers of 8 bits: how they are quantized, and what they compute, code for code like the generated C.

Begin with `network` (a quantized program) and `reference` (what it computes, in NumPy). `arithmetic` has the rescaling
of sums and `tables` those of functions; `calibration` measures the ranges of activations, and `quantize` makes a
quantized network from a program, its weights and these ranges.
"""
