"""Pretraining recipes (TOML). `skeltools.settings` reads them."""
