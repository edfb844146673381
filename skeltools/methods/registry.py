"""The methods by name. A new one is a module that keeps the contract, a recipe of its name, and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skeltools.plugins import find_class

if TYPE_CHECKING:
    from skeltools.methods.contract import Method
    from skeltools.skeletons import Form

METHODS = {
    "mamp": "skeltools.methods.mamp:MAMP",
    "skeattnclr": "skeltools.methods.skeattnclr:SkeAttnCLR",
    "skeletonclr": "skeltools.methods.skeletonclr:SkeletonCLR",
}
"""Name of a method -> where its class is."""


def find_method(name: str) -> type[Method]:
    """Return the class of a method, by its name or as ``package.module:Class``.

    Raises:
        SettingError: There is no such method; the message lists those there are.
    """
    from skeltools.methods.contract import Method

    return find_class(name, METHODS, Method, "method")


def make_method(settings: Any, form: Form, stream: str, seed: int) -> Method:
    """Return the initial method of a run, a function of settings and seed; torch's generator is left alone."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return find_method(settings.method).create(settings, form, stream)


def encoder_prefix(settings: Any, form: Form) -> str:
    """Return the prefix of the names of the encoder's weights in the state of a run's method."""
    from skeltools.models.sizes import on_meta

    method = on_meta(lambda: find_method(settings.method).create(settings, form, "joint"))
    encoder = method.encoder()
    return next(f"{name}." for name, module in method.named_modules() if module is encoder)
