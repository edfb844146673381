"""Made-up data of one's own for tests: people on any skeleton, written in each format that is read."""

from __future__ import annotations

import csv
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from skeltools.skeletons import Skeleton, load

PEOPLE, CLASSES, TAKES, FRAMES = 4, ("bend", "wave"), 4, 9


def person(skeleton: Skeleton, seed: int, frames: int = FRAMES) -> NDArray[np.float64]:
    """A person in metres, y up, (frames, V, 3): hips below shoulders, never at the origin, rounded as a file is."""
    rng = np.random.default_rng(seed)
    pose = rng.uniform([-0.4, 0.2, 1.9], [0.4, 1.7, 2.1], (skeleton.num_joints, 3))
    fixed = (
        (skeleton.left_shoulder, 1.4, 0.2),
        (skeleton.right_shoulder, 1.4, -0.2),
        (skeleton.left_hip, 0.9, 0.1),
        (skeleton.right_hip, 0.9, -0.1),
    )
    for _ in range(3):  # towards parents, so that bones are short
        pose = (pose + pose[list(skeleton.parents)]) / 2
        for joint, y, x in fixed:
            pose[joint, :2] = x, y
    moved = pose + np.cumsum(rng.normal(0, 0.01, (frames, skeleton.num_joints, 3)), axis=0)
    return np.round(moved + np.array([0.01, 0, 0]), 5)


def keypoints(body: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same in an image of 1,000 pixels, y down, (frames, V, 2)."""
    return np.round(np.stack([500 + 200 * body[..., 0], 600 - 250 * body[..., 1]], axis=-1), 3)


def names() -> list[tuple[str, int]]:
    """Names such as ``S1_wave_0`` with a seed each; the class shows in the seed."""
    return [
        (f"S{who}_{word}_{take}", 1000 * label + 10 * who + take)
        for who in range(1, PEOPLE + 1)
        for label, word in enumerate(CLASSES)
        for take in range(TAKES)
    ]


Writer = Callable[[Path, str, NDArray[np.float64], Skeleton], None]
"""Writes a clip (frames, V, 3) in metres, y up, under a name into a folder."""


def npy(folder: Path, name: str, body: NDArray[np.float64], skeleton: Skeleton) -> None:
    np.save(
        folder / f"{name}.npy",
        np.stack([body[..., 0], -body[..., 2], body[..., 1]], axis=-1).astype(np.float32),
    )


def npz(folder: Path, name: str, body: NDArray[np.float64], skeleton: Skeleton) -> None:
    np.savez(folder / f"{name}.npz", np.stack([body, np.zeros_like(body)], axis=1))


def wide_csv(folder: Path, name: str, body: NDArray[np.float64], skeleton: Skeleton) -> None:
    columns = [f"{joint}_{axis}" for joint in skeleton.joints for axis in "xyz"]
    with (folder / f"{name}.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["frame", *columns])
        table.writerows([number, *row] for number, row in enumerate(body.reshape(len(body), -1).tolist()))


def long_csv(folder: Path, name: str, body: NDArray[np.float64], skeleton: Skeleton) -> None:
    with (folder / f"{name}.csv").open("w", newline="") as file:
        table = csv.writer(file, delimiter=";")
        table.writerow(["frame", "joint", "x", "y", "z"])
        for number, pose in enumerate((100 * body).round(3).tolist(), start=1):
            table.writerows(
                [number, joint, *point] for joint, point in zip(skeleton.joints, pose, strict=True)
            )


def plain_tsv(folder: Path, name: str, body: NDArray[np.float64], skeleton: Skeleton) -> None:
    rows = keypoints(body).reshape(len(body), -1).tolist()
    (folder / f"{name}.tsv").write_text("\n".join("\t".join(map(str, row)) for row in rows) + "\n")


def mediapipe(folder: Path, name: str, body: NDArray[np.float64], skeleton: Skeleton) -> None:
    frames = [
        {
            "timestamp_ms": 33 * number,
            "pose_world_landmarks": [
                [{"x": x, "y": -y, "z": -z, "visibility": 0.9} for x, y, z in pose]
            ],
        }
        for number, pose in enumerate(body.tolist())
    ]  # fmt: skip
    (folder / f"{name}.json").write_text(json.dumps({"frames": frames}))


def openpose(folder: Path, name: str, body: NDArray[np.float64], skeleton: Skeleton) -> None:
    (folder / name).mkdir()
    for number, pose in enumerate(keypoints(body)):
        found = np.concatenate([pose, np.full((len(pose), 1), 0.8)], axis=1).reshape(-1).tolist()
        content = {"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": found}]}
        (folder / name / f"{name}_{number:012d}_keypoints.json").write_text(json.dumps(content))


def k4abt(folder: Path, name: str, body: NDArray[np.float64], skeleton: Skeleton) -> None:
    frames = [
        {
            "frame_id": number,
            "num_bodies": 1,
            "bodies": [
                {"body_id": 7, "joint_positions": [[1000 * x, -1000 * y, -1000 * z] for x, y, z in pose]}
            ],
        }
        for number, pose in enumerate(body.tolist())
    ]
    (folder / f"{name}.json").write_text(json.dumps({"frames": frames, "joint_names": list(skeleton.joints)}))


def lists(folder: Path, name: str, body: NDArray[np.float64], skeleton: Skeleton) -> None:
    (folder / f"{name}.json").write_text(json.dumps(body.tolist()))


def pyskl(folder: Path, clips: list[tuple[str, NDArray[np.float64]]]) -> None:
    """One pickle of all clips, 2-D, with the split xsub."""
    annotations = [
        {
            "frame_dir": name,
            "label": CLASSES.index(name.split("_")[1]),
            "img_shape": (1000, 1000),
            "total_frames": len(body),
            "keypoint": keypoints(body)[None].astype(np.float16),
            "keypoint_score": np.full((1, *body.shape[:2]), 0.9, np.float16),
        }
        for name, body in clips
    ]
    train = [name for name, _ in clips if int(name[1]) <= 2]
    split = {"xsub_train": train, "xsub_val": [name for name, _ in clips if name not in train]}
    (folder / "mine.pkl").write_bytes(pickle.dumps({"split": split, "annotations": annotations}, 4))


@dataclass(frozen=True)
class Kind:
    """A format, the skeleton it is tried with, and what a descriptor says of it."""

    skeleton: str
    unit: str
    up: str
    write: Writer | None
    bodies: int = 1


KINDS = {
    "npy": Kind("h36m17", "m", "z", npy),
    "npz": Kind("kinect2", "m", "y", npz, 2),
    "wide csv": Kind("smpl24", "m", "y", wide_csv),
    "long csv": Kind("kinect1", "cm", "y", long_csv),
    "plain tsv": Kind("openpose18", "pixel", "-y", plain_tsv),
    "mediapipe": Kind("mediapipe33", "m", "-y", mediapipe),
    "openpose": Kind("openpose25", "pixel", "-y", openpose),
    "k4abt": Kind("azure", "mm", "-y", k4abt),
    "lists": Kind("smpl24", "m", "y", lists),
    "pyskl": Kind("coco17", "pixel", "-y", None),
}


def kinds(*quick: str) -> list[Any]:
    """Every kind for a test, all but some among the slow tests: elsewhere another test reads them at once."""
    return [kind if kind in quick else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]


def descriptor(kind: Kind, extra: str = "", names: str | None = None, splits: str | None = None) -> str:
    """The descriptor of a kind's made-up data."""
    if names is None:
        names = "pattern = 'S(?P<subject>[0-9])_(?P<label>[a-z]+)_(?P<take>[0-9])'"
    if splits is None:
        splits = 'xsub = {train = "subject in 1-2"}\nloso = "leave one subject out"'
    return (
        f'name = "mine"\nskeleton = "{kind.skeleton}"\nunit = "{kind.unit}"\nup = "{kind.up}"\n'
        f"bodies = {kind.bodies}\nclasses = {json.dumps(CLASSES)}\n{extra}\n[names]\n{names}\n[splits]\n{splits}\n"
    )


def make(folder: Path, kind: str) -> tuple[Path, Path]:
    """Write descriptor and recordings; return their paths."""
    how = KINDS[kind]
    skeleton = load(how.skeleton)
    raw = folder / "raw"
    raw.mkdir(parents=True)
    clips = [(name, person(skeleton, seed)) for name, seed in names()]
    if how.write is None:
        pyskl(raw, clips)
    else:
        for name, body in clips:
            how.write(raw, name, body, skeleton)
    toml = folder / "mine.toml"
    toml.write_text(descriptor(how))
    return toml, raw
