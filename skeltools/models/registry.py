"""The backbones by name. A new one is a module that keeps the contract, and a line here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from skeltools.errors import SettingError, did_you_mean

if TYPE_CHECKING:
    from skeltools.models.contract import Backbone, ModelSettings

BACKBONES = {
    "stgcn": "skeltools.models.stgcn",
    "bigru": "skeltools.models.bigru",
    "dsta": "skeltools.models.dsta",
}
"""Name of a backbone -> module with ``build(settings) -> Backbone``."""


def build_backbone(settings: ModelSettings) -> Backbone:
    """Build the backbone that ``model.*`` settings describe; weights are not yet initialised.

    Raises:
        SettingError: Unknown backbone.
    """
    name = settings.backbone
    if name not in BACKBONES:
        raise SettingError(
            f"Unknown backbone '{name}'. Choose one of: {', '.join(BACKBONES)}."
            f"{did_you_mean(name, BACKBONES)}"
        )
    backbone: Backbone = import_module(BACKBONES[name]).build(settings)
    return backbone
