"""Protocols by name: the packaged ones of `skeltools.protocols.PROTOCOLS`, or anybody's."""

from __future__ import annotations

import re
from dataclasses import is_dataclass

from skeltools.errors import SettingError, did_you_mean
from skeltools.plugins import find_class
from skeltools.protocols import PROTOCOLS
from skeltools.protocols.running.checking import blamed
from skeltools.protocols.running.contract import Protocol

_CLASSES = {name: f"skeltools.protocols.{where}" for name, (where, _) in PROTOCOLS.items()}

_OTHER = {
    "supervised": "finetune --baseline supervised",
    "scratch": "finetune --baseline supervised",
    "random": "linear --init random",
    "untrained": "linear --init random",
    "raw": "linear --baseline raw",
    "probe": "linear",
    "probing": "linear",
    "logistic": "linear",
    "nearest": "knn",
    "fusion": "ensemble",
    "3s": "ensemble",
    "ece": "calibration",
    "map": "retrieval",
}
"""What others call a protocol, or give for one, with what to give instead."""


def get(name: str) -> Protocol:
    """Return a protocol by name, or as ``package.module:Class``.

    Raises:
        SettingError: There is no such protocol; the message lists those there are.
    """
    family, colon, _ = name.partition(":")
    known = {key.partition(":")[0]: key for key in PROTOCOLS}
    if family in known or not colon:
        key = known.get(family, "")
        if not key or (":" in key) != bool(colon):
            per_cent = re.fullmatch(r"semi[-_]?(\d+(?:\.\d+)?)?%?", name)
            if "," in name or " " in name:
                hint = " Give one at a time, or all."
            elif per_cent:
                hint = f" Did you mean 'semi:{per_cent[1] or 5}', {per_cent[1] or 5} % of the labels?"
            else:
                hint = did_you_mean(name, (word for word in known.values() if ":" not in word), _OTHER)
            raise SettingError(
                f"Unknown protocol '{name}'. Choose one of: {', '.join(PROTOCOLS)}, all, or give your own as "
                f"package.module:Class.{hint}"
            )
        return find_class(key, _CLASSES, Protocol, "protocol")(name)
    found = find_class(name, _CLASSES, Protocol, "protocol")
    if not (isinstance(found.settings, type) and is_dataclass(found.settings)):
        raise SettingError(f"Protocol '{name}': its settings must be a dataclass.")
    if found.run is Protocol.run:
        raise SettingError(f"Protocol '{name}' does not define run.")
    with blamed(name, found):
        return found(name)


def every() -> list[Protocol]:
    """Return the packaged protocols that ``all`` runs, in its order: those of whole names, but for dear ones."""
    found = [get(name) for name in PROTOCOLS if ":" not in name]
    return [protocol for protocol in found if not protocol.named_only]


def having(trait: str) -> str:
    """Return the names of the packaged protocols of which an attribute is set, for messages."""
    return ", ".join(protocol.name for protocol in every() if getattr(protocol, trait))
