"""A whole table from one plan: what there is to do, doing it, and going on where it stopped."""
