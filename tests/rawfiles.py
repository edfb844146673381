"""Small raw files made by hand, for tests of the readers and of the conversion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def body_of(seed: int, frames: int) -> NDArray[np.float64]:
    """A body's coordinates, (frames, 25, 3), rounded to what a file holds, never zero."""
    rng = np.random.default_rng(seed)
    pose = rng.uniform(0.1, 1.0, (1, 25, 3))
    drift = np.cumsum(rng.normal(0, 0.02, (frames, 25, 3)), axis=0)
    return np.round(pose + drift + [0.0, 0.0, 2.0], 6)


def ntu_bytes(
    bodies: list[NDArray[np.float64] | None], ids: list[int] | None = None, newline: str = "\r\n"
) -> bytes:
    """An NTU file from bodies (L, 25, 3); a frame of NaN means that the body is absent in it."""
    there = [body for body in bodies if body is not None]
    frames = len(there[0]) if there else 0
    lines = [str(frames)]
    for frame in range(frames):
        present = [
            (number, body[frame]) for number, body in enumerate(there) if not np.isnan(body[frame]).any()
        ]
        lines.append(str(len(present)))
        for number, coordinates in present:
            track = ids[number] if ids else 72057594037931000 + number
            lines.append(f"{track} 0 1 1 1 1 0 -0.1159187 0.1413209 2")
            lines.append("25")
            for x, y, z in coordinates:
                lines.append(f"{x:.7g} {y:.7g} {z:.7g} 276.1 190.06 1032.3 514.09 -0.17 0.042 0.97 -0.156 2")
    return (newline.join(lines) + newline).encode()


def write_ntu(folder: Path, name: str, seed: int = 0, frames: int = 12) -> Path:
    """Write a one-body clip and return its path."""
    path = folder / f"{name}.skeleton"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ntu_bytes([body_of(seed, frames)]))
    return path


def pku_bytes(bodies: NDArray[np.float64], newline: str = "\n") -> bytes:
    """A PKU-MMD skeleton file from (L, 2, 25, 3)."""
    rows = (" ".join(f"{value:.6f}" for value in row) for row in bodies.reshape(len(bodies), -1))
    return (newline.join(rows) + newline).encode()


def write_pku(folder: Path, splits: bool = True) -> Path:
    """Write a PKU-MMD II folder of two videos with five actions, one of them with end < start."""
    for number, video in enumerate(("A01N02-L", "A01N03-L")):
        both = np.zeros((80, 2, 25, 3))
        both[:, 0] = body_of(number, 80)
        for kind, content in (
            ("skeleton", pku_bytes(both)),
            (
                "label",
                b"9,2,30,2\n33,40,20,2\n20,41,80,1\n" if number == 0 else b"1,5,25,2\r\n51,30,77,2\r\n",
            ),
        ):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            (folder / kind / f"{video}.txt").write_bytes(content)
    if splits:
        text = "Training videos:\nA01N02-L, \nValidation videos:\nA01N03-L,\n"
        for name in ("cross_subject_v2.txt", "cross_view_v2.txt"):
            (folder / "split").mkdir(exist_ok=True)
            (folder / "split" / name).write_text(text)
    return folder
