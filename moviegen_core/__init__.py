"""Movie Gen as a PyTorch library: networks, flow matching, conditionings, pipelines, training, evaluation."""

__version__ = "0.1.0"
