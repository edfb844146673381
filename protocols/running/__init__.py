"""The machinery that runs protocols and records their results."""
