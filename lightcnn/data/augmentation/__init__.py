"""Augmentation of training batches.

Begin with `batch.py`, which a training calls. The modules build on each other in this order: `geometry.py` moves pixels
and `filters.py` changes their values; `augment.py` applies both; `batch.py` also mixes and normalises images.
"""
