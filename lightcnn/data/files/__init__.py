"""Files and archives, which are untrusted until read, and the cache.

Begin with `decode.py`, which turns one image file into pixels. The modules build on each other in this order:
`cache.py` and `spelling.py`; `intensity.py` (which value is white), `conversion.py` (8 bits, grey or RGB), `tiff.py`,
`sixteen_bits.py` and `pixel_limit.py`, on which `decode.py` builds, and `binary_formats.py`; `walk.py` (images below
folders), `download.py`, and `archives.py`.
"""
