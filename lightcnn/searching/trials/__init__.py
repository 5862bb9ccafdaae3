"""The trials of a search, which know nothing of networks.

In the order in which modules build on each other: `storage`, the study on disk; `halving`, which candidates are trained
longer, and what scores them; `searcher`, the trials and what is known about them; `loop`, which task is next.
"""
