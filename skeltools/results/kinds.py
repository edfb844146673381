"""How tables and the page show the results of each protocol; whoever has protocols tells it here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from skeltools.results.record import Record


class Kind(NamedTuple):
    """How the results of a protocol are shown.

    Attributes:
        table: Protocols with the same word here share a table.
        joins: Whether it joins the scores of another protocol, with whose name its variants begin.
        grids: Function that makes tables of its rows, ``module:function``; empty for the usual table.
        logits: Whether scores are logits, so that a softmax makes probabilities of them.
        drawn: Whether it draws at random; else seeds of one encoder give the same result.
        player: Place among the protocols whose predictions the player of the page shows, from 1; 0 for none.
    """

    table: str
    joins: bool = False
    grids: str = ""
    logits: bool = False
    drawn: bool = True
    player: int = 0


KINDS: dict[str, Kind] = {}
"""Kinds by the name of the protocol up to its colon, in the order of tables; `skeltools.protocols` fills it.

The results of any other protocol come after them, in a table of their own.
"""


def kind_of(record: Record) -> Kind:
    """Return how the results of a record's protocol are shown."""
    return KINDS.get(record.family, Kind(record.protocol))


def in_player() -> list[str]:
    """Return the protocols whose predictions the player shows, the one it prefers first."""
    return sorted((name for name, kind in KINDS.items() if kind.player), key=lambda name: KINDS[name].player)
