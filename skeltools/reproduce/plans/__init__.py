"""The packaged plans, a TOML file each."""
