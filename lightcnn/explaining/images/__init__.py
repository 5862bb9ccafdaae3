"""Which images are explained, and how they are read.

Begin with `image.py`, which defines `ExplainedImage`. Modules build on each other in this order: `projection`, `masks`,
`image`, `image_choice` and `selection`.
"""
