"""The run folder: what was run, its checkpoints, log and settings."""
