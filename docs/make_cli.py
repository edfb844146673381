"""Writes docs/cli.md from the help of every command. Run: make docs"""

from pathlib import Path

import click
from click.testing import CliRunner

from skeltools.cli.main import COMMANDS, main


def page() -> str:
    """Return the reference page."""
    parts = ["# Commands", "", "Written by `make docs` from the help texts; do not edit.", ""]
    for name in ("", *COMMANDS):
        command = main.get_command(click.Context(main), name) if name else None
        inside = list(command.commands) if isinstance(command, click.Group) else []
        for words in ([name] if name else [], *([name, each] for each in inside)):
            result = CliRunner().invoke(main, [*words, "--help"], prog_name="skeltools", terminal_width=100)
            heading = " ".join(["#" * max(2, len(words) + 1), "skeltools", *words])
            parts += [heading, "", "```", result.output.rstrip(), "```", ""]
    return "\n".join(parts)


if __name__ == "__main__":
    Path(__file__).with_name("cli.md").write_text(page(), encoding="utf-8")
