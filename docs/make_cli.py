"""Writes docs/cli.md from the help of every command. Run: make docs"""

from pathlib import Path

from click.testing import CliRunner

from skeltools.cli.main import COMMANDS, main


def page() -> str:
    """Return the reference page."""
    parts = ["# Commands", "", "Written by `make docs` from the help texts; do not edit.", ""]
    for name in ("", *COMMANDS):
        words = [name] if name else []
        result = CliRunner().invoke(main, [*words, "--help"], prog_name="skeltools", terminal_width=100)
        parts += [f"## skeltools {name}".rstrip(), "", "```", result.output.rstrip(), "```", ""]
    return "\n".join(parts)


if __name__ == "__main__":
    Path(__file__).with_name("cli.md").write_text(page(), encoding="utf-8")
