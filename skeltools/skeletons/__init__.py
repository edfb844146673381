"""Skeletons: joints, bones, body parts, mirror pairs and graph as a value. The packaged ones lie here as TOML."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from skeltools.errors import SettingError, did_you_mean
from skeltools.files.texts import parse_toml, read_named
from skeltools.skeletons.skeleton import Form, Skeleton

__all__ = ["Form", "Skeleton", "load", "packaged"]


def packaged() -> list[str]:
    """Return the names of the skeletons that ship with the package, sorted."""
    here = files(__name__)
    return sorted(
        entry.name.removesuffix(".toml") for entry in here.iterdir() if entry.name.endswith(".toml")
    )


def load(name: str) -> Skeleton:
    """Return a packaged skeleton by name, or one's own by the path of its TOML file.

    Raises:
        SettingError: There is no such skeleton, or its file does not hold one.
    """
    if not name.endswith(".toml"):
        return _packaged(name)
    text = read_named(name, "Skeleton file")
    return _parse(text, name)


@cache
def _packaged(name: str) -> Skeleton:
    known = packaged()
    if name not in known:
        raise SettingError(
            f"Unknown skeleton '{name}'. Choose one of: {', '.join(known)}, or give the path of a .toml "
            f"file.{did_you_mean(name, known)}"
        )
    return _parse((files(__name__) / f"{name}.toml").read_text(encoding="utf-8"), f"skeleton '{name}'")


def _parse(text: str, where: str) -> Skeleton:
    try:
        content = parse_toml(text)
    except ValueError as error:
        raise SettingError(f"{where} is not valid TOML: {error}.") from None
    return Skeleton.from_dict(content, where)
