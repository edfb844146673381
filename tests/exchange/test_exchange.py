"""Other projects' files in and out, the restricted pickle loader, arrays and the torch data set."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from clipfiles import altered
from forms import SKELETON
from rawfiles import body_of, ntu_bytes, write_ntu

import skeltools
from skeltools.cli.main import main
from skeltools.convert.pipeline import convert
from skeltools.datasets import registry as datasets
from skeltools.errors import DataError, FormatError, SettingError
from skeltools.exchange.arrays import LAYOUTS
from skeltools.files import pickles
from skeltools.preparation.chain import choose
from skeltools.store import ClipFile
from skeltools.transforms.streams import to_stream

OURS = "a file that skeltools converted. It needs no import: every command reads it as it is."
WANTED = (
    "Give a folder of AimCLR's or 2s-AGCN's .npy files, CTR-GCN's .npz file, a pyskl pickle or skeltools' own .npz "
    "file."
)


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exchange") / "raw"
    for number in range(12):
        name = f"S00{1 + number % 2}C00{1 + number % 3}P00{1 if number < 8 else 3}R{number + 1:03d}A0{10 + number}"
        write_ntu(folder, name, number, frames=20 + number)
    gap = body_of(77, 30)
    gap[10:13] = np.nan
    alone = body_of(76, 90)
    alone[30:36] = np.nan
    (folder / "S002C001P001R002A051.skeleton").write_bytes(ntu_bytes([alone]))
    (folder / "S002C001P001R001A050.skeleton").write_bytes(ntu_bytes([gap, body_of(78, 30), body_of(79, 30)]))
    return folder


@pytest.fixture(scope="module")
def converted(raw: Path) -> Path:
    convert(datasets.get("ntu60"), raw, raw.parent / "o.h5")
    return raw.parent / "o.h5"


def data_of(path: Path) -> dict[str, object]:
    with ClipFile(path) as file:
        return {
            "clips": file.clips().tobytes(),
            "names": file.names,
            "labels": file.labels.tolist(),
            "digest": file.digest,
            **{
                f"{split}/{part}": file.rows(split, part).tolist()
                for split in file.splits
                for part in ("train", "test")
            },
            **{name: np.asarray(file.column(name)).tolist() for name in ("bodies", "subject", "setup")},
        }


def test_aimclr_and_back_is_the_identity(converted: Path, tmp_path: Path) -> None:
    out = tmp_path / "theirs"
    result = run("export", converted, out, "--to", "aimclr")
    assert result.exit_code == 0, result.output
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*.*")) == [
        f"{split}/{side}_{what}"
        for split in ("xsub", "xview")
        for side in ("train", "val")
        for what in ("label.pkl", "position.npy")
    ]
    names, labels = pickle.loads((out / "xsub" / "val_label.pkl").read_bytes())
    assert names[0].endswith(".skeleton")
    assert len(names) == len(labels) == len(np.load(out / "xsub" / "val_position.npy"))
    assert run("import", "ntu60", out, tmp_path / "back.h5").exit_code == 0
    assert data_of(tmp_path / "back.h5") == data_of(converted)
    assert run("verify", tmp_path / "back.h5").exit_code == 0
    assert run("inspect", tmp_path / "back.h5").exit_code == 0


def test_a_single_split_of_aimclr(converted: Path, tmp_path: Path) -> None:
    run("export", converted, tmp_path / "theirs", "--to", "aimclr")
    assert run("import", "ntu60", tmp_path / "theirs" / "xview", tmp_path / "back.h5").exit_code == 0
    with ClipFile(tmp_path / "back.h5") as back, ClipFile(converted) as file:
        assert back.splits == ("xview",)
        np.testing.assert_array_equal(back.clips(), file.clips())


def test_pyskl_and_back_is_the_identity_within_float16(converted: Path, tmp_path: Path) -> None:
    assert run("export", converted, tmp_path / "p.pkl", "--to", "pyskl").exit_code == 0
    assert run("import", "ntu60", tmp_path / "p.pkl", tmp_path / "back.h5").exit_code == 0
    ours, theirs = data_of(converted), data_of(tmp_path / "back.h5")
    for key in ("clips", "digest"):
        del ours[key], theirs[key]
    assert ours == theirs
    with ClipFile(tmp_path / "back.h5") as back, ClipFile(converted) as file:
        assert back.attrs["chain.dtype"] == "float16"
        np.testing.assert_array_equal(back.clips(), file.clips().astype(np.float16).astype(np.float32))


def test_pyskl_sequences_of_several_lengths_need_a_preparation(tmp_path: Path) -> None:
    annotations = [
        {"frame_dir": f"S001C001P001R00{number}A001", "label": 0, "total_frames": 20 + number,
         "keypoint": body_of(number, 20 + number)[None].astype(np.float16)}
        for number in (1, 2)
    ]  # fmt: skip
    content = {
        "split": {"xsub_train": [annotations[0]["frame_dir"]], "xsub_val": [annotations[1]["frame_dir"]]},
        "annotations": annotations,
    }
    path = tmp_path / "p.pkl"
    path.write_bytes(pickle.dumps(content))
    result = run("import", "ntu60", path, tmp_path / "o.h5")
    assert result.exit_code == 2
    assert result.stderr.endswith(
        f"{path}: its sequences have 21 to 22 frames. Give --prep to prepare them.\n"
    )
    assert run("import", "ntu60", path, tmp_path / "o.h5", "--prep", "aimclr").exit_code == 0
    with ClipFile(tmp_path / "o.h5") as file:
        assert file.clips().shape == (2, 3, 50, 25, 2)
        assert file.attrs["prep"] == "aimclr"
        assert file.rows("xsub", "test").tolist() == [1]


def test_npz(converted: Path, tmp_path: Path) -> None:
    assert run("export", converted, tmp_path / "o.npz", "--to", "npz").exit_code == 0
    with np.load(tmp_path / "o.npz", allow_pickle=False) as found, ClipFile(converted) as file:
        np.testing.assert_array_equal(found["clips"], file.clips())
        np.testing.assert_array_equal(found["xsub_test"], file.rows("xsub", "test"))
        assert found["names"].tolist() == file.names


def test_export_never_overwrites_unasked(converted: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("precious")
    for extra in ((), ("--replace",)):
        result = run("export", converted, folder, "--to", "aimclr", *extra)
        assert result.exit_code == 2
        assert result.stderr.splitlines()[-1].startswith(f"Error: {folder} already exists.")
    assert (folder / "thesis.txt").read_text() == "precious"
    assert run("export", converted, tmp_path / "e", "--to", "aimclr").exit_code == 0
    assert run("export", converted, tmp_path / "e", "--to", "aimclr").exit_code == 2
    assert run("export", converted, tmp_path / "e", "--to", "aimclr", "--replace").exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e", "mine"]


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch /tmp/skeltools-was-here",)


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(Evil()),
        pickle.dumps([os.getcwd]),
        pickle.dumps(np.random.default_rng(0)),
        pickle.dumps(Path("x")),
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nfromfile\n(S'/etc/passwd'\ntR.",
        b"c_codecs\nencode\n(Vx\nVrot13\ntR.",
        b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93.",
        b"P1\n.",
    ],
)
def test_hostile_pickles_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"x\.pkl: not a pickle of plain lists, texts, numbers and arrays"):
        pickles.load(path)
    assert not Path("/tmp/skeltools-was-here").exists()


@pytest.mark.parametrize("content", [b"", b"x", b"\x80\x04]", b"(lp0\n", bytes(range(256)), b"\x80\xff."])
def test_damaged_pickles_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    with pytest.raises(FormatError):
        pickles.load(path)


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles_are_read(protocol: int, tmp_path: Path) -> None:
    content = (
        ["a", "b"],
        [1, np.int64(2), np.float32(0.5)],
        {"x": np.arange(6, dtype=np.float16).reshape(2, 3), "f": np.asfortranarray(np.eye(3))},
        None,
        True,
        b"\xff\x00",
    )
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    found = pickles.load(path)
    assert found[0] == content[0]
    assert found[1] == content[1]
    np.testing.assert_array_equal(found[2]["x"], content[2]["x"])
    assert found[2]["x"].dtype == np.float16
    np.testing.assert_array_equal(found[2]["f"], np.eye(3))
    assert found[3:] == content[3:]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (
            "xsub/train_label.pkl",
            pickle.dumps([1]),
            "expected a list of names and an equally long list of labels.",
        ),
        ("xsub/train_label.pkl", pickle.dumps((["a"], [0])), "8 clips, but train_label.pkl names 1."),
        ("xsub/val_position.npy", b"junk", "not a NumPy array ("),
        ("xsub/val_position.npy", None, "val_position.npy does not exist."),
    ],
)
def test_damaged_arrays(
    converted: Path, tmp_path: Path, file: str, content: bytes | None, message: str
) -> None:
    out = tmp_path / "theirs"
    run("export", converted, out, "--to", "aimclr")
    (out / file).unlink()
    if content is not None:
        (out / file).write_bytes(content)
    result = run("import", "ntu60", out, tmp_path / "back.h5")
    assert result.exit_code == 2
    if "names 1" not in message:
        assert message in result.stderr
    assert not (tmp_path / "back.h5").exists()


def test_arrays_of_other_shapes_and_labels(converted: Path, tmp_path: Path) -> None:
    out = tmp_path / "theirs"
    run("export", converted, out, "--to", "aimclr")
    np.save(out / "xsub" / "val_position.npy", np.zeros((4, 3, 64, 17, 2), np.float32))
    assert (
        "its shape is (4, 3, 64, 17, 2); expected (N, 3, T, 25, 2)."
        in run("import", "ntu60", out, tmp_path / "b.h5").stderr
    )
    shutil.rmtree(out)
    run("export", converted, out, "--to", "aimclr")
    result = run("import", "irds", out, tmp_path / "b.h5")
    assert result.stderr.splitlines()[-1].endswith("label 9 is not one of 0 to 8 of irds.")


def test_open_clips(converted: Path) -> None:
    for stream in ("joint", "motion", "bone"):
        train, test = skeltools.open_clips(converted, "xsub", stream)
        with ClipFile(converted) as file:
            for side, part in ((train, "train"), (test, "test")):
                rows = file.rows("xsub", part)
                expected = to_stream(torch.from_numpy(file.clips(rows)), stream, SKELETON).numpy()
                np.testing.assert_array_equal(side.x, expected)
                np.testing.assert_array_equal(side.y, file.labels[rows])
                assert side.names == [file.names[row] for row in rows]
    with pytest.raises(DataError, match="has no split 'xset'"):
        skeltools.open_clips(converted, "xset")
    with pytest.raises(SettingError, match="Unknown stream 'bones'"):
        skeltools.open_clips(converted, "xsub", "bones")


def test_motion_of_the_source_is_used_where_it_is_stored(raw: Path, tmp_path: Path) -> None:
    convert(datasets.get("ntu60"), raw, tmp_path / "m.h5", prep=choose(overrides=["chain.motion=source"]))
    train, _ = skeltools.open_clips(tmp_path / "m.h5", "xsub", "motion")
    with h5py.File(tmp_path / "m.h5") as file:
        np.testing.assert_array_equal(train.x, file["motion"][:][file["splits/xsub/train"][:]])
    plain, _ = skeltools.open_clips(tmp_path / "m.h5", "xsub", "joint")
    assert np.abs(train.x - to_stream(torch.from_numpy(plain.x), "motion", SKELETON).numpy()).max() > 1e-3


@pytest.mark.parametrize("workers", [0, 1])
def test_clip_dataset(converted: Path, workers: int) -> None:
    data = skeltools.ClipDataset(converted, "xsub", "train", "bone")
    train, _ = skeltools.open_clips(converted, "xsub", "bone")
    assert len(data) == len(train.y) == 10
    clip, label = data[-1]
    assert clip.dtype == torch.float32
    np.testing.assert_array_equal(clip.numpy(), train.x[-1])
    assert label == train.y[-1]
    with pytest.raises(IndexError):
        data[10]
    loader = torch.utils.data.DataLoader(data, batch_size=4, num_workers=workers)
    batches = list(loader)
    np.testing.assert_array_equal(torch.cat([clips for clips, _ in batches]).numpy(), train.x)
    assert torch.cat([labels for _, labels in batches]).tolist() == train.y.tolist()
    doubled = skeltools.ClipDataset(converted, "xsub", "train", "bone", transform=lambda clip: 2 * clip)
    np.testing.assert_array_equal(doubled[0][0].numpy(), 2 * train.x[0])


def test_importing_skeltools_loads_no_numpy() -> None:
    import subprocess
    import sys

    code = "import skeltools, sys; assert not {'torch', 'numpy', 'h5py'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        skeltools.nothing  # noqa: B018


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["chain.frames=50", "chain.length=last", "chain.centre=first"],
        ["chain.bodies=tracked", "chain.gaps=close", "chain.rotation=none", "chain.span=0.95"],
        ["chain.centre=person", "chain.centre_joint=1", "chain.rotation=axes", "chain.dtype=float16"],
    ],
)
def test_identify_names_what_was_done(raw: Path, tmp_path: Path, overrides: list[str]) -> None:
    import json

    made = choose(overrides=overrides)
    convert(datasets.get("ntu60"), raw, tmp_path / "o.h5", prep=made)
    arrays: Path = tmp_path / "o.h5"
    if not overrides:
        run("export", arrays, tmp_path / "theirs", "--to", "aimclr")
        arrays = tmp_path / "theirs"
    result = run("identify", "ntu60", arrays, raw, "--json", "--clips", 3)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["frames"] == made.values.frames
    assert found["dtype"] == made.values.dtype
    for key, values in found["values"].items():
        assert getattr(made.values, key) in values, key
    for override in overrides:
        key = override.removeprefix("chain.").partition("=")[0]
        if key in found["values"] and key != "gaps":
            assert found["values"][key] == [getattr(made.values, key)], key


def test_identify_says_when_nothing_fits(raw: Path, converted: Path, tmp_path: Path) -> None:
    path = tmp_path / "o.h5"
    shutil.copy(converted, path)
    with altered(path) as file:
        file["clips"][:] *= 1.2
    result = run("identify", "ntu60", path, raw, "--clips", 1)
    assert result.exit_code == 1
    assert "No known preparation gives them. The nearest is off by up to " in result.stdout
    write_ntu(tmp_path / "other", "S009C001P001R001A001")
    result = run("identify", "ntu60", converted, tmp_path / "other")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == (
        f"Error: No clip of {converted} has its raw file in {tmp_path / 'other'}: compare the names."
    )


def test_a_folder_of_prepared_clips_takes_no_preparation(converted: Path, tmp_path: Path) -> None:
    theirs, out = tmp_path / "theirs", tmp_path / "out.h5"
    run("export", converted, theirs, "--to", "aimclr")
    result = run("import", "ntu60", theirs, out, "--prep", "ctrgcn", "--set", "chain.frames=32")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == (
        f"Error: --prep and its --set prepare sequences of pyskl, CTR-GCN and 2s-AGCN; {theirs} is a folder of "
        "prepared clips. Leave them out."
    )
    assert not out.exists()


@pytest.mark.parametrize("to", LAYOUTS)
def test_an_export_is_replaced_by_one_of_its_layout_alone(converted: Path, tmp_path: Path, to: str) -> None:
    out = tmp_path / "out"
    words = ("export", converted, out, "--to", to)
    assert run(*words).exit_code == 0
    assert "Use --replace" in run(*words).stderr
    assert run(*words, "--replace").exit_code == 0
    kept = sorted(path.name for path in out.rglob("*")) if out.is_dir() else out.read_bytes()
    other = "npz" if to != "npz" else "pyskl"
    assert run("export", converted, out, "--to", other, "--replace").exit_code == 2
    assert kept == (sorted(path.name for path in out.rglob("*")) if out.is_dir() else out.read_bytes())


def test_no_command_replaces_its_input(converted: Path, tmp_path: Path) -> None:
    clips = tmp_path / "clips.h5"
    shutil.copy(converted, clips)
    before = clips.read_bytes()
    pickled = tmp_path / "clips.pkl"
    run("export", clips, pickled, "--to", "pyskl")
    for words in (("export", clips, clips, "--to", "npz"), ("import", "ntu60", pickled, pickled)):
        result = run(*words, "--replace")
        assert result.exit_code == 2
        assert result.stderr.splitlines()[-1] == (
            f"Error: {words[2]} is the input as well. Choose another output."
        )
    assert clips.read_bytes() == before
    assert pickled.exists()


def test_a_file_of_another_kind_is_told(converted: Path, tmp_path: Path) -> None:
    other, garbage = tmp_path / "other.bin", tmp_path / "garbage"
    shutil.copy(converted, other)
    garbage.write_bytes(bytes(range(186, 256)))
    for path, problem in (
        (converted, f" is {OURS}"),
        (other, f" is {OURS}"),
        (garbage, f": not a pickle, or a damaged one (KeyError). {WANTED}"),
    ):
        result = run("import", "ntu60", path, tmp_path / "out.h5")
        assert result.exit_code == 2
        assert result.stderr.splitlines()[-1] == f"Error: {path}{problem}"
