"""What every raw format is read into: the bodies of a recording, frame by frame, in file order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Recording:
    """The B body observations of a recording of L frames, in file order.

    Attributes:
        frames: L, frames without a body included.
        coords: float32 (B, V, 3), metres.
        frame: int32 (B,), the 0-based frame of each observation, never decreasing.
        slot: int32 (B,), its 0-based place among the bodies of its frame.
        ids: int64 (B,), its tracking id (the body's column where the format has no ids); an id of 2**63 or
            more is here less 2**64.
        notes: What was decided while reading, (kind, count) each; kinds as in `skeltools.store.notes`.
    """

    frames: int
    coords: NDArray[np.float32]
    frame: NDArray[np.int32]
    slot: NDArray[np.int32]
    ids: NDArray[np.int64]
    notes: tuple[tuple[str, int], ...] = ()

    def first(self, bodies: int) -> NDArray[np.float32]:
        """Return the first bodies of each frame in file order, float32 (3, L, V, bodies); absent ones are 0.

        Tracking ids are ignored, as in the reference.
        """
        raw = np.zeros((self.frames, bodies, *self.coords.shape[1:]), np.float32)
        kept = self.slot < bodies
        if kept.all():
            raw[self.frame, self.slot] = self.coords
        else:
            raw[self.frame[kept], self.slot[kept]] = self.coords[kept]
        return np.ascontiguousarray(raw.transpose(3, 0, 2, 1))

    def without_first_frame(self) -> Recording:
        """Return the recording without its first frame; one without frames stays so."""
        kept = self.frame > 0
        return Recording(
            frames=max(self.frames - 1, 0),
            coords=self.coords[kept],
            frame=self.frame[kept] - 1,
            slot=self.slot[kept],
            ids=self.ids[kept],
            notes=self.notes,
        )

    @classmethod
    def from_columns(cls, columns: NDArray[np.float32], notes: tuple[tuple[str, int], ...] = ()) -> Recording:
        """Build a recording from float32 (L, M, V, 3), where an all-zero body is an absent one."""
        present = columns.any(axis=(2, 3))
        frame, slot = np.nonzero(present)
        return cls(
            frames=len(columns),
            coords=columns[present],
            frame=frame.astype(np.int32),
            slot=slot.astype(np.int32),
            ids=slot.astype(np.int64),
            notes=notes,
        )
