"""The pretraining engine."""
