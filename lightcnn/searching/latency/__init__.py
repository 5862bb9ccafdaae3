"""Limits on latency in a search: networks are timed before it, and the final ones at its end.

Begin with `models`, which keeps how times are predicted; `timed_networks` chooses what is timed.
"""
