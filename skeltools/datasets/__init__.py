"""The datasets skeltools knows, and the label subsets of their splits."""
