"""The backbones by name. A new one is a module that keeps the contract, and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skeltools.plugins import find_class

if TYPE_CHECKING:
    from skeltools.models.contract import Backbone
    from skeltools.skeletons import Form

BACKBONES = {
    "stgcn": "skeltools.models.stgcn:STGCN",
    "bigru": "skeltools.models.bigru:BiGRU",
    "dsta": "skeltools.models.dsta:DSTA",
    "vit": "skeltools.models.vit:ViT",
}
"""Name of a backbone -> where its class is."""


def find_backbone(name: str) -> type[Backbone]:
    """Return the class of a backbone, by its name or as ``package.module:Class``.

    Raises:
        SettingError: There is no such backbone; the message lists those there are.
    """
    from skeltools.models.contract import Backbone

    return find_class(name, BACKBONES, Backbone, "backbone")


def build_backbone(settings: Any, form: Form) -> Backbone:
    """Build the backbone that ``model.*`` settings describe; weights are not yet initialised.

    Raises:
        SettingError: Unknown backbone.
    """
    return find_backbone(settings.backbone).build(settings, form)
