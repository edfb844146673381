"""Where ``skeltools`` begins: all before the command line itself, so that Ctrl-C is answered from here on."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; exit status 130 where Ctrl-C comes while it is being loaded, or after its end."""
    try:
        from skeltools.cli.main import main as run

        run()
    except KeyboardInterrupt:
        print("Error: Interrupted.", file=sys.stderr)
        sys.exit(130)
