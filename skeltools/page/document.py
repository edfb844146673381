"""The page around the values: template, style and script as they stand in ``assets``, and a strict policy."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import skeltools
from skeltools.files.texts import printable
from skeltools.files.writing import write_text
from skeltools.plots import palette

SCRIPTS = (
    "base.js",
    "tables.js",
    "lines.js",
    "matrix.js",
    "scatter.js",
    "timeline.js",
    "player.js",
    "main.js",
)
"""The script, in the order it runs."""

STYLE = "page.css"
TEMPLATE = "page.html"

ENDINGS = (".html", ".htm")
"""What a page may be named."""


def asset(name: str) -> str:
    """Return the text of a file of ``assets``."""
    return (files("skeltools.page") / "assets" / name).read_text(encoding="utf-8")


def common() -> dict[str, Any]:
    """Return what every page needs to know: version and colours."""
    return {
        "version": skeltools.__version__,
        "colours": {"series": list(palette.SERIES), "salience": list(palette.SALIENCE)},
    }


def document(title: str, values: Mapping[str, Any]) -> str:
    """Return a page as HTML.

    Texts of `values` can hold anything: they are in a block that the browser does not read as markup, and
    the script shows them as text only. The page's security policy admits its own script and style, by their
    digest, and nothing else: no further script, no request.

    Args:
        title: Title of the page.
        values: What the script shows; JSON values. A number that is not finite becomes null.
    """
    style = asset(STYLE)
    script = "\n".join(["(() => {", '"use strict";', *map(asset, SCRIPTS), "})();", ""])
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    parts = {
        "title": html.escape(printable(title)),
        "policy": html.escape(policy),
        "style": style,
        "script": script,
        "data": _json(common() | dict(values)),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match.group(1)], asset(TEMPLATE))


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _json(values: Any) -> str:
    """Return JSON that no HTML parser takes for markup: ASCII alone, without <, > and &."""
    text = json.dumps(_finite(values), allow_nan=False, separators=(",", ":"))
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def write(path: Path, title: str, values: Mapping[str, Any]) -> int:
    """Write a page in one step and return its size in bytes."""
    text = document(title, values)
    write_text(path, text)
    return len(text.encode())
