"""Generates C99 for microcontrollers from a quantized network: static memory, no heap, integers only.

`generate` writes the files of a network, `kernels.c` is the part that is equal for all networks.
"""
