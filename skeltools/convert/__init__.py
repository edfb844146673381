"""From raw files to one converted file."""
