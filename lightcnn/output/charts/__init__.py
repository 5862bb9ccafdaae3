"""Charts: drawn once with matplotlib, shown as SVG in pages and saved as PNG in `plots/`; and drawings of networks.

Begin with `figures`, what all charts share. `svg` makes both forms of a chart; `plotting` and `fonts` are matplotlib.
`network_drawing` draws a network stage by stage as SVG, and `network_table` has the same numbers in rows.
"""
