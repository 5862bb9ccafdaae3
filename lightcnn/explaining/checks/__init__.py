"""Checks of whether a map follows the network, one per module; `catalogue.CHECKS` lists them.

Begin with `checker.py`, which runs all checks of one map, then `summary.py`, which counts them over many images.
`ranks`, `map_sanity` and `controls` are helpers of the other modules.
"""
