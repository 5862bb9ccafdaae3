"""Explains uploaded images: `explanations` has what an explainer is, the queue of explanations, and their JSON.

`run_explainer` explains with the network of a run by all methods, `file_explainer` with an exported file and no torch.
"""
