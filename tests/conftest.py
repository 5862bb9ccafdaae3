"""Runs before any test module: an environment in which two processes on one machine do not stand still."""

import os

# Read once, when torch loads GNU's OpenMP: idle threads must not spin while another process computes.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
