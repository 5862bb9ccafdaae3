"""Finished runs on the same test images, held against each other."""

from lightcnn.comparison.answers import Answers, read
from lightcnn.comparison.pairs import Pair, compared, holm

__all__ = ["Answers", "Pair", "compared", "holm", "read"]
