"""``python -m skeltools``: the same as the ``skeltools`` command."""

from importlib import import_module

if __name__ == "__main__":
    import_module("skeltools.cli.start").main()
