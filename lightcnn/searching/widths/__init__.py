"""Widths: how a shape's proportions become the widths of a network within a budget. No torch.

Begin with `solver`, which solves the widths of a shape for a share of the budget; `meter` measures a shape with other
widths.
"""
