"""Preparation recipes, TOML: how raw recordings become clips. ``skeattnclr`` holds every setting."""
