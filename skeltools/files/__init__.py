"""Files: written whole, read within bounds. Knows nothing of skeletons."""
