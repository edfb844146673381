"""Finding code by name: a packaged class, or anybody's as ``package.module:Name``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from skeltools.errors import RunError, SettingError, SkeltoolsError, did_you_mean

T = TypeVar("T")


@contextmanager
def _working_folder() -> Iterator[None]:
    """Let imports find modules in the working folder, after all that is installed."""
    sys.path.append("")
    try:
        yield
    finally:
        sys.path.remove("")


def load(spec: str, what: str, error: type[SkeltoolsError] = RunError, name: str = "name") -> Any:
    """Return what ``package.module:name`` names; it must be callable.

    Args:
        spec: The words.
        what: What messages call it, such as ``encoder``.
        error: What is raised.
        name: What messages call the word after the colon.

    Raises:
        SkeltoolsError: The words are not of that form, the module cannot be imported or has no such callable.
    """
    module_name, colon, attribute = spec.partition(":")
    if not colon or not module_name or not attribute:
        raise error(f"{_an(what)} is named package.module:{name}, not '{spec}'.")
    try:
        with _working_folder():
            module = importlib.import_module(module_name)
    except ModuleNotFoundError as fault:
        raise error(
            f"{what.capitalize()} '{spec}': no module named '{fault.name}'. Install it, or run in the folder it "
            "lies in."
        ) from None
    except Exception as fault:
        raise error(
            f"{what.capitalize()} '{spec}' cannot be imported: {type(fault).__name__}: {fault}."
        ) from fault
    found = getattr(module, attribute, None)
    if not callable(found):
        names = [
            name for name in vars(module) if callable(getattr(module, name)) and not name.startswith("_")
        ]
        raise error(
            f"{what.capitalize()} '{spec}': module '{module_name}' has no callable '{attribute}'."
            f"{did_you_mean(attribute, names)}"
        )
    return found


def find_class(name: str, known: Mapping[str, str], base: type[T], what: str) -> type[T]:
    """Return a class by its short name, or as ``package.module:Class``.

    Args:
        name: The name.
        known: Where the packaged classes are, by short name.
        base: What the class must be derived from.
        what: What messages call it, such as ``backbone``.

    Raises:
        SettingError: There is no such class, or it is not derived from `base`.
    """
    if ":" not in name and name not in known:
        raise SettingError(
            f"Unknown {what} '{name}'. Choose one of: {', '.join(known)}, or give your own as "
            f"package.module:Class.{did_you_mean(name, known)}"
        )
    found = load(known.get(name, name), what, SettingError)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise SettingError(
            f"{what.capitalize()} '{name}' is not derived from {base.__module__}.{base.__name__}."
        )
    return found


def _an(what: str) -> str:
    return f"{'An' if what[0] in 'aeiou' else 'A'} {what}"
