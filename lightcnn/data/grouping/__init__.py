"""Finds out which images belong together: those of one patient, and copies of one photograph.

Begin with `groups.py`, which combines all evidence. The modules build on each other in this order: `name_patterns.py`
and `name_parts.py` read one name, `belief.py` has the rules of belief, `identifiers.py` lists what may identify a
patient, and `name_groups.py` reads all paths; `given_groups.py` and `identity_columns.py` doubt what a manifest states.
`feature_file.py` keeps features on disk, `sift.py` extracts them, `matching.py` finds candidate pairs, `similar.py`
verifies them, block by block, `near_duplicates.py` caches the result; `groups.py` uses all.
"""
