"""Protocol recipes (TOML). `skeltools.settings` reads them."""
