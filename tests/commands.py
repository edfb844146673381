"""Calling the command line within the process of a test."""

from __future__ import annotations

from click.testing import CliRunner, Result

from skeltools.cli.main import main


def call(*words: object) -> Result:
    """Run a command."""
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="skeltools")


def fails(words: list[object], told: str) -> None:
    """Check that a command ends with one line of error, and says nothing else."""
    result = call(*words)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"Error: {told}\n")
