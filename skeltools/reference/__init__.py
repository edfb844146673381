"""Other people's weights, and reference numbers recomputed on this machine."""
