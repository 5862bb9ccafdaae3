"""The explanation methods, one per module; `catalogue.METHODS` lists them.

Begin with `attribution.py`, which defines what a method is and returns. To add a method, write its module and add one
row to `catalogue.METHODS`. `layer_choice` serves `gradcam`, `superpixels` serves `lime`, and `blur` serves
`integrated_gradients` and the check by insertion.
"""
