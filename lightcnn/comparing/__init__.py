"""Finished runs on the same test images, held against each other."""
