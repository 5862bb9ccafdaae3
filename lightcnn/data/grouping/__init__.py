"""Finds out which images belong together: those of one patient, and copies of one photograph.

Begin with `groups.py`, which combines all evidence. The modules build on each other in this order: `name_patterns.py`
reads one file name, `name_groups.py` all of them; `sift.py` extracts features, `matching.py` finds candidate pairs,
`similar.py` verifies them, `near_duplicates.py` caches the result; `groups.py` uses both.
"""
