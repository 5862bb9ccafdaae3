"""lightcnn: architecture search for lightweight CNNs under exact budgets."""

__version__ = "0.1.0"
