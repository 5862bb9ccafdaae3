"""Drawings as SVG, which pages contain and run folders have as files.

`network_drawing` draws a network stage by stage, and `network_table` has the same numbers in rows.
"""
