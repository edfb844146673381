"""What is fuzzed: readers of files from elsewhere, each with small sound inputs to start from."""

# ruff: noqa: E501 (inputs and tables stand in one line each)

from __future__ import annotations

import io
import json
import pickle
import zipfile
from argparse import Namespace
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from rawfiles import body_of, ntu_bytes, pku_bytes
from theirweights import theirs, under

from fuzz.mutate import mutate
from skeltools.errors import FormatError, SkeltoolsError


@dataclass(frozen=True)
class Target:
    """One reader.

    Attributes:
        seeds: Gives sound inputs.
        run: Reads an input; the folder is the case's own. A skeltools error is a refusal, any other a fault.
        words: Pieces of the format that mutations put in.
        shape: A mutation that keeps the outer structure sound, such as the checksums of an archive.
    """

    seeds: Callable[[], list[bytes]]
    run: Callable[[bytes, Path], object]
    words: tuple[bytes, ...] = ()
    shape: Callable[[Random, bytes], bytes] | None = None


def put(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    with open(path, "wb", buffering=0) as file:  # noqa: PTH123 (a hundred thousand times)
        file.write(data)
    return path


# Raw text


def _ntu_seeds() -> list[bytes]:
    return [ntu_bytes([body_of(1, 1)]), ntu_bytes([body_of(1, 2), body_of(2, 2)]), b"1\r\n0\r\n", b"0\n"]


def _ntu(data: bytes, folder: Path) -> None:
    from skeltools.formats import backend, ntu

    found = None
    if backend.available():
        from skeltools.formats import _compiled

        found = _compiled.skeleton(data, 25, ntu.MOST_BODIES)
    try:
        plain = ntu.read_plain(data, "x.skeleton")
    except FormatError:
        assert found is None, "the compiled parser took what the plain one refuses"
        raise
    assert np.isfinite(plain.coords).all()
    if found is not None:
        assert plain.frames == found[0]
        for mine, theirs in zip((plain.coords, plain.frame, plain.slot, plain.ids), found[1:], strict=True):
            assert mine.tobytes() == np.ascontiguousarray(theirs, mine.dtype).tobytes(), "parsers differ"
    plain.first(2)


def _pku_seeds() -> list[bytes]:
    two = np.stack([body_of(1, 2), body_of(2, 2)], axis=1)
    return [pku_bytes(two), b" ".join([b"0.5"] * 150) + b"\n", b" ".join([b"0"] * 150)]


def _pku(data: bytes, folder: Path) -> None:
    from skeltools.formats import backend, pku

    found = None
    if backend.available():
        from skeltools.formats import _compiled

        found = _compiled.table(data, pku.COLUMNS)
    try:
        plain = pku._plain(data, "x.txt")
    except FormatError:
        assert found is None or len(found) == 0, "the compiled parser took what the plain one refuses"
        raise
    assert np.isfinite(plain).all()
    assert found is None or found.tobytes() == plain.tobytes(), "parsers differ"


def _pku_lists(data: bytes, folder: Path) -> None:
    from skeltools.formats import pku

    faults: list[SkeltoolsError] = []
    for parse in (
        lambda: pku.parse_labels(data, "x.txt", 51),
        lambda: pku.parse_split(data, "x.txt"),
        lambda: pku.parse_split_unstripped(data, "x.txt"),
    ):
        try:
            parse()
        except FormatError as error:
            faults.append(error)
    if len(faults) >= 2:
        raise faults[0]


def _irds_seeds() -> list[bytes]:
    from skeltools.formats.irds import JOINTS

    groups = ",".join(f"({name},Tracked,0.1,-0.2,2.5,10,20)" for name in JOINTS)
    return [f"Version 0.1\r\n1,2,3,{groups}\r\n".encode(), b"Version 0.1\n"]


def _irds(data: bytes, folder: Path) -> None:
    from skeltools.formats import irds

    assert np.isfinite(irds.parse(data, "x.txt")).all()


# Archives


def _zip_seeds() -> list[bytes]:
    made = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", method) as archive:
            archive.writestr("a/S001C001P001R001A001.skeleton", b"1\r\n0\r\n" * 20)
            archive.writestr("b.skeleton", b"0\n" * 200)
        made.append(target.getvalue())
    return made


def _read_all(path: Path) -> None:
    from skeltools.formats.sources import list_entries, read_all

    content = read_all(list_entries([path]))
    assert all(len(data) == entry.size for entry, data in content.items())
    assert all(".." not in Path(entry.inside).parts for entry in content)


def _zip(data: bytes, folder: Path) -> None:
    _read_all(put(folder, "x.zip", data))


def _seven_zip_seeds() -> list[bytes]:
    import py7zr

    target = io.BytesIO()
    with py7zr.SevenZipFile(target, "w") as archive:
        archive.writestr(b"1\r\n0\r\n" * 20, "a/S001C001P001R001A001.skeleton")
    return [target.getvalue()]


def _seven_zip(data: bytes, folder: Path) -> None:
    _read_all(put(folder, "x.7z", data))


def _rezipped(rng: Random, data: bytes) -> bytes:
    """Mutate one member of a zip archive and pack it anew, with the right checksums."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {item.filename: archive.read(item) for item in archive.infolist()}
    except Exception:
        return mutate(rng, data)
    if not members:
        return mutate(rng, data)
    target = io.BytesIO()
    pickles = [name for name in members if name.endswith(".pkl")]
    chosen = rng.choice(pickles if pickles and rng.random() < 0.7 else sorted(members))
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, mutate(rng, content, PICKLE_WORDS) if name == chosen else content)
    return target.getvalue()


# Importers

PICKLE_WORDS = (
    b"\x8b\xff\xff\xff\x7f", b"r\xff\xff\xff\x7f", b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x96" + b"\xff" * 7 + b"\x7f",
    b"\x95" + b"\xff" * 7 + b"\x7f", b"cos\nsystem\n", b"cbuiltins\neval\n", b"R", b"b", b"(", b"t", b"]", b"}", b"s", b"u",
    b"2", b"\x85", b"\x86", b"\x87", b"\x93", b"\x81", b"\x94", b"h\x00", b"K\x00", b"M\xff\xff", b"J\xff\xff\xff\x7f", b"\x8f",
    b"\x90", b"\x91", b"cnumpy\ndtype\n", b"cnumpy\nndarray\n", b"p99999999\n", b"I99999999999\n", b".",
)  # fmt: skip


def _dumps(content: Any) -> list[bytes]:
    return [pickle.dumps(content, protocol=protocol) for protocol in (2, 4, 5)]


@cache
def _aimclr_files() -> dict[str, bytes]:
    found = {}
    for side, name in (("train", "S001C001P001R001A001"), ("val", "S001C001P003R001A002")):
        target = io.BytesIO()
        np.save(target, np.full((1, 3, 2, 25, 2), 0.5, np.float32))
        found[f"{side}_position.npy"] = target.getvalue()
        found[f"{side}_label.pkl"] = pickle.dumps(([f"{name}.skeleton"], [1]))
    return found


def _aimclr_seeds() -> list[bytes]:
    names = (["S001C001P001R001A001.skeleton"], [1])
    numpy_names = (["S001C001P001R001A001"], np.array([1]))
    half = io.BytesIO()
    np.save(half, np.ones((1, 3, 2, 25, 2), np.float16))
    labels = [b"L" + data for data in (*_dumps(names), *_dumps(numpy_names))]
    return [*labels, b"P" + _aimclr_files()["train_position.npy"], b"P" + half.getvalue()]


_ARRAY_WORDS = (
    b"(1, 3, 2, 25, 2)", b"(99999999999, 3, 2, 25, 2)", b"(1, 3, 99999999999, 25, 2)", b"'<f4'", b"'|O'", b"'<f2'", b"True",
    b"'<f8'", b"(-1,)", b"(0, 3, 2, 25, 2)", b"'|V9'", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x03\x00", b"PK\x03\x04", b"(" * 50,
)  # fmt: skip


def _aimclr(data: bytes, folder: Path) -> None:
    """The first byte tells which file the rest is: L labels, anything else positions."""
    from skeltools.exchange.arrays import read_arrays

    home = folder / "aimclr"
    files = _aimclr_files()
    if not home.is_dir():
        home.mkdir()
        for name, content in files.items():
            put(home, name, content)
    name = "train_label.pkl" if data[:1] == b"L" else "train_position.npy"
    try:
        put(home, name, data[1:])
        found = read_arrays(home)
        for clip in found.clips:
            np.isfinite(np.asarray(clip, np.float32)).all()
    finally:
        put(home, name, files[name])
    _import(found, home)


def _pyskl_seeds() -> list[bytes]:
    content = {
        "split": {"xsub_train": ["S001C001P001R001A001"], "xsub_val": []},
        "annotations": [
            {"frame_dir": "S001C001P001R001A001", "label": 0, "total_frames": 2,
             "keypoint": np.full((1, 2, 25, 3), 0.5, np.float16)}
        ],
    }  # fmt: skip
    return _dumps(content)


def _pyskl(data: bytes, folder: Path) -> None:
    from skeltools.exchange.arrays import read_arrays

    path = put(folder, "x.pkl", data)
    _import(read_arrays(path), path)


# One's own data


@cache
def _own(skeleton: str, unit: str) -> Any:
    from skeltools.datasets.descriptor import Descriptor
    from skeltools.skeletons import load

    return Descriptor("mine", load(skeleton), unit, ("a",), bodies=2, crowd="choose")


@cache
def _own_chains(skeleton: str, unit: str) -> Any:
    """Return the form of clips and the chains that they are made by: the usual one, and one in float16."""
    from skeltools.preparation.chain import choose, usual

    dataset = _own(skeleton, unit).dataset()
    few = {"chain.frames": 4}
    chains = [
        choose(
            usual(dataset), skeleton=dataset.skeleton, dimensions=dataset.dimensions, options=few | more
        ).values
        for more in ({}, {"chain.dtype": "float16", "chain.bodies": "tracked"})
    ]
    return dataset.form(4), chains


def _own_use(recording: Any, skeleton: str, unit: str) -> None:
    """Make clips of a recording, as converting does."""
    from skeltools.preparation.chain import apply

    form, chains = _own_chains(skeleton, unit)
    if recording.frames <= 10_000:  # more would only be slow
        for chain in chains:
            made = apply(recording, chain, form)
            assert isinstance(made, str) or np.isfinite(made.clip).all()


def _own_read(data: bytes, name: str) -> None:
    """Read as metres and as key points, and prepare what is read; a refusal of both is one."""
    from skeltools.formats import own

    faults: list[SkeltoolsError] = []
    for named in (("kinect1", "m"), ("openpose18", "pixel"), ("coco17", "pixel")):
        how = _own(*named)
        try:
            for found in own.read(data, name, how):
                if isinstance(found, FormatError):
                    raise found
                assert np.isfinite(found.coords).all()
                assert found.coords.shape[1:] == (how.skeleton.num_joints, 3)
                assert len(found.coords) == 0 or 0 <= found.frame.min() <= found.frame.max() < found.frames
                assert (np.diff(found.frame) >= 0).all()
                places = {*zip(found.frame.tolist(), found.slot.tolist(), strict=True)}
                assert len(places) == len(found.frame)
                assert found.frames <= 1_000_000
                _own_use(found, *named)
        except FormatError as error:
            faults.append(error)
    if len(faults) == 3:
        raise faults[0]


def _csv_seeds() -> list[bytes]:
    from skeltools.skeletons import load

    joints = load("kinect1").joints
    header = "frame,body," + ",".join(f"{joint}_{axis}" for joint in joints for axis in "xyz")
    row = ",".join(f"{0.1 + place / 50:.2f}" for place in range(60))
    long = "".join(f"1;{joint};0.{place + 10};0.5;2\n" for place, joint in enumerate(joints))
    points = "\t".join(str(place) for place in range(34))
    made = [
        f"{header}\n1,0,{row}\n1,1,{row}\n2,0,{row}\n",
        f"frame;joint;x;y;z\n{long}",
        f"{points}\n{points}\n",
    ]
    return [text.encode() for text in made]


def _json_seeds() -> list[bytes]:
    pose = [[0.1 + joint / 50, 0.5, 2.0] for joint in range(20)]
    marks = [{"x": 0.1 + joint / 50, "y": 0.5, "z": 2, "visibility": 0.9} for joint in range(20)]
    flat = [float(place % 7) / 7 for place in range(54)]
    made: list[Any] = [
        [pose, pose], {"frames": [[pose, pose], []]}, {"frames": [{"timestamp": 1, "pose_world_landmarks": [marks]}]},
        [marks, marks], {"people": [{"pose_keypoints_2d": flat}]},
        {"frames": [{"frame_id": 1, "bodies": [{"body_id": 3, "joint_positions": pose}]}, {"frame_id": 2, "bodies": []}]},
    ]  # fmt: skip
    return [json.dumps(item).encode() for item in made]


_ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1e39, -3.4e38, 1e-40, 10**18, 2**64, 5e-324, 1e999, "", "x", [], {}, [[]], [0.5], "1,5", 1e6
)  # fmt: skip
"""Values that stand in for others; `json` writes the infinite one as a word that is not JSON."""


def _otherwise(rng: Random, value: Any) -> Any:
    """Return JSON values with one of them, at any depth, replaced, left out or said twice."""
    if isinstance(value, (list, dict)) and value and rng.random() < 0.85:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        at: Any = rng.choice(keys)
        made: Any = value.copy()
        kind = rng.random()
        if kind < 0.05:
            del made[at]
        elif kind < 0.1 and isinstance(made, list):
            made.insert(at, made[at])
        else:
            made[at] = _otherwise(rng, value[at])
        return made
    if isinstance(value, (int, float)) and rng.random() < 0.5:
        return value * rng.choice((-1, 0, 1e-3, 1e3, 1e38, 1.5))
    return rng.choice(_ODD)


def _rejson(rng: Random, data: bytes) -> bytes:
    """Change values of a JSON file that stays one."""
    try:
        content = json.loads(data)
        for _ in range(rng.choice((1, 1, 2, 8))):
            content = _otherwise(rng, content)
        return json.dumps(content).encode()
    except (ValueError, RecursionError, OverflowError):
        return mutate(rng, data)


def _recsv(rng: Random, data: bytes) -> bytes:
    """Change cells of a table that stays rectangular, or whole rows of it."""
    try:
        lines = data.decode().splitlines()
    except ValueError:
        return mutate(rng, data)
    separator = max(",;\t", key="".join(lines[:1]).count)
    rows = [line.split(separator) for line in lines]
    for _ in range(rng.choice((1, 1, 2, 8)) if rows else 0):
        at = rng.randrange(len(rows))
        kind, cell = rng.random(), rng.randrange(len(rows[at]))
        if kind < 0.8:
            word = rng.choice(
                (rows[at][cell], "nan", "-0", "1e39", "3.4e38", "1e-40", "9" * 30, "", "1,5", "x", "7")
            )
            rows[at][cell] = rng.choice(("", "-", "0", "1e3")) + word if rng.random() < 0.5 else word
        elif kind < 0.9:
            rows.insert(at, rows[at].copy())
        elif len(rows) > 1:
            rows.pop(at)
    return "".join(separator.join(row) + "\n" for row in rows).encode()


def _npy_seeds() -> list[bytes]:
    made = []
    for array in (np.full((2, 20, 3), 0.5) + np.arange(20)[:, None] / 30, np.ones((2, 2, 17, 2), np.float16)):
        target = io.BytesIO()
        np.save(target, array)
        made.append(target.getvalue())
    return made


def _own_pickle_seeds() -> list[bytes]:
    item = {
        "frame_dir": "a", "label": 0, "total_frames": 2, "keypoint": np.ones((1, 2, 17, 2), np.float16),
        "keypoint_score": np.ones((1, 2, 17), np.float16),
    }  # fmt: skip
    return _dumps({"split": {"x_train": ["a"], "x_val": ["b"]}, "annotations": [item]})


def _descriptor_seeds() -> list[bytes]:
    names = "[names]\npattern = 'S(?P<subject>[0-9]+)_(?P<label>[a-z]+)'\n"
    first = 'name = "mine"\nskeleton = "kinect1"\nunit = "m"\nclasses = ["a", "b"]\nup = "-z"\nbodies = 2\n'
    splits = '[splits]\nx = {train = "subject in 1-3,5 and label not in b"}\nloso = "leave one subject out"\n'
    return [
        (first + names + splits).encode(),
        (first.replace('["a", "b"]', '{1 = "a", 2 = "b"}') + splits).encode(),
    ]


def _descriptor(data: bytes, folder: Path) -> None:
    from skeltools.datasets import descriptor

    found = descriptor.read(put(folder, "x.toml", data))
    assert descriptor.from_json(found.to_json(), "x").to_json() == found.to_json()
    clips = [{"name": f"c{who}", "subject": who, "label": "ab"[who % 2]} for who in range(9)]
    for split in found.splits:
        with suppress(SkeltoolsError):
            descriptor.sides(split, clips, "x")


_turn = 0


def _import(found: Any, source: Path) -> None:
    """Go all the way to the converted file for one accepted input in two hundred."""
    global _turn
    from skeltools.datasets import registry as datasets
    from skeltools.exchange.arrays import import_arrays
    from skeltools.store import ClipFile

    _turn += 1
    if _turn % 200 == 1:
        out = source.parent / "o.h5"
        with suppress(SkeltoolsError):
            import_arrays(datasets.get("ntu60"), source, out, replace=True)
            with ClipFile(out) as file:
                file.clips()


def _whole_encoder() -> dict[str, Any]:
    """An encoder that is imported: every entry there is, one channel wide, all in two storages to be small."""
    import torch

    numbers, counts = torch.ones(3 * 25 * 25), torch.ones(1, dtype=torch.int64)
    return {
        name: (numbers if value.is_floating_point() else counts)[: value.numel()].view(value.shape)
        for name, value in theirs(width=1, dim=1).items()
        if not name.startswith("fc.")
    }


def _weights_seeds() -> list[bytes]:
    import torch

    small = {
        "encoder_q.st_gcn_networks.0.tcn.0.weight": torch.ones(2),
        "encoder_q.st_gcn_networks.9.tcn.0.weight": torch.ones(4),
        "encoder_q.A": torch.zeros(3, 25, 25)[:, :1, :1].clone(),
    }
    aimclr, skeattnclr = (under(prefix, _whole_encoder()) for prefix in ("encoder_q.", "encoder_q.backbone."))
    made = []
    for state, kinds in (
        (small, (True, False)), ({"model": small, "args": Namespace(a=Namespace(b=[1]))}, (True, False)),
        ({"x": torch.zeros(1)}, (True, False)), (aimclr, (True,)), (skeattnclr, (False,))
    ):  # fmt: skip
        for new in kinds:
            target = io.BytesIO()
            torch.save(state, target, _use_new_zipfile_serialization=new)
            made.append(target.getvalue())
    return made


def _weights(data: bytes, folder: Path) -> None:
    from skeltools.reference import weights as imports

    imports.read(put(folder, "x.pt", data))


def _checkpoint_seeds() -> list[bytes]:
    import torch

    from skeltools.runs import checkpoint

    content = checkpoint.Checkpoint(
        epoch=1, batch=0, step=1, model={"a": torch.ones(2)}, optimizer={"state": {}}, rng={}, settings={},
        versions={}, data_digest="", monitor=None,
    )  # fmt: skip
    target = io.BytesIO()
    torch.save({"version": checkpoint.VERSION} | content.__dict__, target)
    return [target.getvalue()]


def _checkpoint(data: bytes, folder: Path) -> None:
    from skeltools.models.sizes import differing
    from skeltools.runs import checkpoint

    saved = checkpoint.load(put(folder, "step-1.pt", data))
    run = _a_run()
    with suppress(SkeltoolsError):
        run.check_checkpoint(saved, folder)
    differing(run._planned_encoder, saved.model)


def _log_seeds() -> list[bytes]:
    steps = [
        {
            "kind": "step",
            "step": step,
            "epoch": 1,
            "loss": 0.5,
            "loss_global": 1e-3,
            "lr": 0.1,
            "clips_per_second": 9.5,
        }
        for step in range(1, 5)
    ]
    check = {"kind": "monitor", "step": 4, "epoch": 1, "knn_top1": 0.25}
    return [
        "".join(f"{json.dumps(line)}\n" for line in lines).encode()
        for lines in ([*steps, check], steps[:1], [])
    ]


def _relog(rng: Random, data: bytes) -> bytes:
    """Change the values of some lines."""
    lines = data.splitlines()
    if not lines:
        return mutate(rng, data)
    for _ in range(rng.choice((1, 1, 3))):
        at = rng.randrange(len(lines))
        lines[at] = _rejson(rng, lines[at])
    return b"\n".join(lines) + b"\n"


def _log(data: bytes, folder: Path) -> None:
    from skeltools.runs import log

    path = put(folder, "log.jsonl", data)
    found = log.read(path)
    assert all(np.isfinite(log.smooth(values, 3)).sum() >= 0 for values in found.values.values())
    assert found.losses is not None
    log.Log(path, folder, []).rewind(int(found.steps[-1]))


@cache
def _run_json() -> bytes:
    """The ``run.json`` of a run of a tiny model."""
    import tempfile

    from skeltools.runs.folder import Run
    from skeltools.runs.settings import resolve_recipe
    from skeltools.skeletons import load

    resolved = resolve_recipe(
        None, dataset="ntu60", split="xsub", stream="joint", overrides=["model.width=1", "model.dim=32"]
    )
    with tempfile.TemporaryDirectory() as home:
        run = Run(
            path=Path(home) / "run", kind="pretrain", settings=resolved.values, flat=dict(resolved.flat),
            origin=dict(resolved.origin), recipe="x", data=Path("x.h5"), digest="0" * 64, dataset="ntu60", split="xsub",
            stream="joint", seed=0, frames=8, preparation={"prep": "x"}, command="x", versions={"torch": "2"},
            created="x", skeleton=load("kinect2").to_dict(),
        )  # fmt: skip
        run.make(False)
        return (run.path / "run.json").read_bytes()


@cache
def _a_run() -> Any:
    import tempfile

    from skeltools.runs.folder import Run

    with tempfile.TemporaryDirectory() as home:
        put(Path(home), "run.json", _run_json())
        return Run.open(home)


def _run(data: bytes, folder: Path) -> None:
    from skeltools.runs.folder import Run

    put(folder, "run.json", data)
    run = Run.open(folder)
    assert json.dumps(run.identity)
    assert run.form.joints
    assert run._planned_encoder.backbone is not None


# Our own files


@cache
def _h5_seed() -> bytes:
    import tempfile

    import h5py

    from skeltools.datasets import registry as datasets
    from skeltools.exchange.arrays import import_arrays
    from skeltools.store.writer import seal

    with tempfile.TemporaryDirectory() as home:
        for name, content in _aimclr_files().items():
            put(Path(home), name, content)
        import_arrays(datasets.get("irds"), home, Path(home) / "o.h5")
        with h5py.File(Path(home) / "o.h5") as source, h5py.File(Path(home) / "s.h5", "w") as target:
            for key, item in source.items():
                if key != "subsets":
                    source.copy(item, target, key)
            target["subsets/xsub/1/0"] = np.zeros(1, "<i8")
            target["raw/offset"] = np.arange(3)
            target["raw/frames"] = np.ones(2, "<i8")
            target["raw/data"] = np.ones((2, 25, 3), "<f4")
            for name, kind in (("frame", "<i4"), ("slot", "<i4"), ("id", "<i8")):
                target[f"raw/{name}"] = np.zeros(2, kind)
            for key, value in source.attrs.items():
                target.attrs[key] = value
            seal(target)
        return (Path(home) / "s.h5").read_bytes()


def _h5(data: bytes, folder: Path) -> None:
    from skeltools.preparation.chain import apply, choose
    from skeltools.store import ClipFile
    from skeltools.store.subsets import list_subsets
    from skeltools.store.summary import summarise
    from skeltools.store.verify import verify

    path = put(folder, "x.h5", data)
    with suppress(SkeltoolsError):
        ClipFile(path).close()
    with ClipFile(path, checked=False) as file:  # what a reader meets where digests have been forged too
        summarise(file)
        list_subsets(file)
        verify(file)
        for split in file.splits:
            for part in ("train", "test"):
                file.clips(file.rows(split, part)[:2])
        for where in file.subsets:
            file.subset(*where)
        for column in file.columns:
            file.column(column)
        assert len(file.names) == len(file.labels) == len(file.digests) == len(file)
        if file.has_raw:
            file.raw_counts()
            for row in range(len(file)):
                found = file.recording(row)
                found.first(2)
                apply(found, choose(options={"chain.bodies": "tracked"}).values, file.form)


def _recipe_seeds() -> list[bytes]:
    return [
        b'title = "x"\n[train]\nepochs = 3\nlr = 0.1\n',
        b'title = "x"\nextends = "skeattnclr"\n[[when]]\nmatch = {split = "xsub"}\ntrain.epochs = 5\n',
        b"model.width = 16\nmodel.dim = 256\n",
    ]


def _recipe(data: bytes, folder: Path) -> None:
    from skeltools.runs.settings import resolve_recipe

    resolve_recipe(str(put(folder, "x.toml", data)), dataset="ntu60", split="xsub", stream="joint")


def _record_seeds() -> list[bytes]:
    import typing
    from dataclasses import fields

    from skeltools.results.record import RECORD_VERSION, SUBJECTS, Record

    plain = {"str": "x", "int": 1, "float": 0.5, "bool": False}
    content: dict[str, Any] = {}
    hints = typing.get_type_hints(Record)
    for item in fields(Record):
        if item.name != "folder":
            kind = typing.get_origin(hints[item.name]) or hints[item.name]
            empty = {"list": [0], "dict": {}}.get(kind.__name__)
            content[item.name] = plain.get(kind.__name__, empty)
    content["origin"] = content.pop("set_by")  # its key on disk
    content |= {"version": RECORD_VERSION, "subject": SUBJECTS[0], "notes": ["x"], "per_class": [0.5]}
    return [json.dumps(content).encode()]


def _record(data: bytes, folder: Path) -> None:
    from skeltools.results import record as results

    found = results.read(put(folder, "x.json", data))
    assert json.dumps(found.content(), allow_nan=False)
    found.stem.encode("ascii")
    _tables([found])


def _tables(records: list[Any], intervals: bool = False) -> None:
    """Make every table there is of records, in every format."""
    from skeltools.results import class_tables, joined, report, tables

    rows = joined.rows(records, intervals=intervals)
    grids = report.grids(rows)
    if intervals:
        grids += [*class_tables.per_class(rows), *class_tables.confusions(rows, 3)]
    for grid in grids:
        tables.to_rich(grid)
        for made in (tables.to_markdown(grid), tables.to_latex(grid)):
            made.encode()
    tables.to_csv(["x"] * 40, report.flat(rows)).encode()


def _side_seeds() -> list[bytes]:
    made = []
    for save in (np.savez, np.savez_compressed):
        target = io.BytesIO()
        save(
            target, scores=np.ones((1, 2), np.float32), labels=np.zeros(1, np.int64), names=np.array(["a"]),
            classes=np.array(["b", "c"]),
        )  # fmt: skip
        made.append(target.getvalue())
    return made


@cache
def _a_record() -> Any:
    from skeltools.results import record as results

    content = json.loads(_record_seeds()[0])
    content["set_by"] = content.pop("origin")
    measured = results.accuracies(np.ones((1, 2), np.float32), np.zeros(1, np.int64))
    return replace(results.Record(**content), scores="x.npz", test_clips=1, num_classes=2, **measured)


def _side(data: bytes, folder: Path) -> None:
    from skeltools.results import compare

    put(folder, "x.npz", data)
    record = replace(_a_record(), folder=folder)
    record.side()
    _tables([record], intervals=True)
    compare.grids(compare.compare([record], [replace(record, protocol="knn")]), record, record, 3)


TARGETS = {
    "ntu": Target(_ntu_seeds, _ntu),
    "pku": Target(_pku_seeds, _pku),
    "pku-lists": Target(
        lambda: [b"9,2,30,2\r\n", b"Training\nA01N02-L,A01N03-L\nTest\nA01N04-L\n"], _pku_lists
    ),
    "irds": Target(_irds_seeds, _irds, (b"(", b")", b",", b"Version", b"SpineBase", b"nan", b"1e999")),
    "zip": Target(_zip_seeds, _zip, (b"../", b"/", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"\xff" * 4)),
    "7z": Target(_seven_zip_seeds, _seven_zip),
    "aimclr": Target(_aimclr_seeds, _aimclr, PICKLE_WORDS + _ARRAY_WORDS),
    "pyskl": Target(_pyskl_seeds, _pyskl, PICKLE_WORDS),
    "import-weights": Target(_weights_seeds, _weights, PICKLE_WORDS, _rezipped),
    "checkpoint": Target(_checkpoint_seeds, _checkpoint, PICKLE_WORDS, _rezipped),
    "hdf5": Target(lambda: [_h5_seed()], _h5, (b"\xff" * 8, b"TREE", b"SNOD", b"HEAP", b"GCOL", b"OHDR")),
    "recipe": Target(
        _recipe_seeds,
        _recipe,
        (b"[[when]]\n", b"[" * 200, b"{", b"a.b.c = 1\n", b"= ", b'"', b"inf", b"1" * 5000),
    ),
    "record": Target(
        _record_seeds,
        _record,
        (b"[" * 300, b"{", b"null", b"NaN", b"1e999", b"true", b"[]", b'"x"', b"\\ud800"),
        _rejson,
    ),
    "log": Target(_log_seeds, _log, (b"[" * 300, b"null", b"NaN", b"1e999", b"9" * 400, b"\n"), _relog),
    "run": Target(
        lambda: [_run_json()],
        _run,
        (b"[" * 300, b"null", b"1e999", b"true", b'"bigru"', b'"vit"', b"9" * 30),
        _rejson,
    ),
    "scores": Target(_side_seeds, _side, _ARRAY_WORDS, _rezipped),
    "own-csv": Target(
        _csv_seeds,
        lambda data, _: _own_read(data, "x.csv"),
        (
            b",",
            b";",
            b"\t",
            b"\n",
            b'"',
            b"frame",
            b"joint",
            b"body",
            b"nan",
            b"1e999",
            b"1e300",
            b"-",
            b"_x",
            b"\0",
        ),
        _recsv,
    ),
    "own-json": Target(
        _json_seeds,
        lambda data, _: _own_read(data, "x.json"),
        (
            b"[" * 300,
            b"[]",
            b"{}",
            b"null",
            b"NaN",
            b"1e999",
            b"true",
            b'"x"',
            b'"frames":',
            b'"people":',
            b'"bodies":',
            b"9" * 400,
        ),
        _rejson,
    ),
    "own-npy": Target(_npy_seeds, lambda data, _: _own_read(data, "x.npy"), _ARRAY_WORDS),
    "own-pickle": Target(_own_pickle_seeds, lambda data, _: _own_read(data, "x.pkl"), PICKLE_WORDS),
    "descriptor": Target(
        _descriptor_seeds,
        _descriptor,
        (
            b"[names]\n",
            b"[splits]\n",
            b"(?P<",
            b")",
            b"(" * 200,
            b"{",
            b"= ",
            b'"',
            b" in ",
            b" not in ",
            b"1-",
            b"nan",
            b"inf",
        ),
    ),
}
"""Everything that is fuzzed, by name."""
