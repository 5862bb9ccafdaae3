"""Figures of explanations: the panel of one image, and an overview of a test set.

Begin with `image_files.py`, which makes all files of one image. Modules build on each other in this order: `colours`,
`panels`, `overview` and `image_files`.
"""
