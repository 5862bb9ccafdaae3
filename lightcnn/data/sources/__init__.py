"""Loaders of data sources: one module per kind of SOURCE.

Begin with `load.py`, which lists the sources and chooses the loader. The modules build on each other in this order:
`read_files.py` decodes many files; `table.py` reads a .csv and `row_files.py` finds its files; `folder.py` and
`manifest.py` use them; `shards.py` reads tar files by the rules of `manifest.py`; `npz.py`, `arrays.py`,
`published.py` and `synthetic.py` (with `lesion_painter.py`) assemble arrays; `mpox.py` uses `folder.py`; `load.py` uses
all of them.
"""
