"""Readers and writers of raw skeleton formats, one module per format."""
