"""Everything of matplotlib that figures use. Only this module imports matplotlib, whatever MPLBACKEND is.

Figures are drawn by Agg without pyplot, so neither the backend of a notebook nor its figures are used or changed.
"""

from __future__ import annotations

import contextlib
import os
import sys

LOADED = "matplotlib" in sys.modules
"""Whether the user has loaded matplotlib already, and perhaps chosen a backend."""
BACKEND = os.environ.pop("MPLBACKEND", None)
"""The backend of the user. matplotlib cannot be imported if it is not installed, as that of a notebook often is not."""
try:
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
    from matplotlib.patches import Rectangle
    from matplotlib.text import Text
    from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullFormatter
    from matplotlib.transforms import Bbox, ScaledTranslation
finally:
    if BACKEND is not None:
        os.environ["MPLBACKEND"] = BACKEND
        with contextlib.suppress(NameError, ValueError):
            if not LOADED:
                mpl.rcParams["backend"] = BACKEND

__all__ = [
    "Axes", "Axis", "Bbox", "EngFormatter", "Figure", "FigureCanvasAgg", "FontProperties", "FuncFormatter",
    "LogLocator", "MaxNLocator", "Normalize", "NullFormatter", "Rectangle", "ScalarMappable",
    "ScaledTranslation", "Text", "findfont", "fontManager", "get_font", "mpl",
]  # fmt: skip
