"""Imports believe nothing that they are told: kinds of files, labels, names, numbers, units and persons."""
# ruff: noqa: E501 (messages stand in one line each)

from __future__ import annotations

import copy
import gzip
import os
import pickle
import pickletools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from rawfiles import body_of, write_ntu

from skeltools.cli.main import main
from skeltools.convert.pipeline import convert
from skeltools.datasets import registry as datasets
from skeltools.files import pickles
from skeltools.store import ClipFile

WANTED = (
    "Give a folder of AimCLR's or 2s-AGCN's .npy files, CTR-GCN's .npz file, a pyskl pickle or skeltools' own .npz "
    "file."
)
KEYS = "expected a dictionary with frame_dir, label and keypoint."
NAMES = [
    f"S001C00{1 + number % 3}P00{performer}R001A00{1 + number}" for performer in (1, 3) for number in range(3)
]
"""Three training clips, then three of the test side, of actions 1 to 3."""

LABELS = [0, 1, 2, 0, 1, 2]


def run(source: object, out: Path, *more: object) -> Result:
    words = ["import", "ntu60", str(source), str(out), *map(str, more)]
    return CliRunner().invoke(main, words)


def refused(source: Path, *more: object) -> str:
    """Import what is to be refused; return what is said after 'Error: ', without the path of the source."""
    out = source.parent / "refused.h5"
    result = run(source, out, *more)
    assert result.exit_code == 2, result.output
    assert not out.exists()
    last = result.stderr.splitlines()[-1]
    assert last.startswith("Error: "), last
    return last.removeprefix("Error: ").removeprefix(str(source))


def pyskl(**changes: Any) -> dict[str, Any]:
    """A pickle of six clips of 20 frames, of one person each."""
    annotations: list[Any] = [
        {"frame_dir": name, "label": label, "total_frames": 20,
         "keypoint": body_of(number, 20)[None].astype(np.float16)}
        for number, (name, label) in enumerate(zip(NAMES, LABELS, strict=True))
    ]  # fmt: skip
    return {"split": {"xsub_train": NAMES[:3], "xsub_val": NAMES[3:]}, "annotations": annotations} | changes


def saved(folder: Path, content: Any) -> Path:
    path = folder / "p.pkl"
    path.write_bytes(pickle.dumps(content))
    return path


def aimclr(folder: Path, clips: np.ndarray | None = None) -> Path:
    """Arrays of the same clips as AimCLR's scripts leave them."""
    made = np.stack([item["keypoint"] for item in pyskl()["annotations"]]).transpose(0, 4, 2, 3, 1)
    both = np.concatenate([made, np.zeros_like(made)], axis=-1).astype(np.float32) if clips is None else clips
    (folder / "xsub").mkdir(parents=True)
    for side, rows in (("train", slice(0, 3)), ("val", slice(3, 6))):
        np.save(folder / "xsub" / f"{side}_position.npy", both[rows])
        (folder / "xsub" / f"{side}_label.pkl").write_bytes(pickle.dumps((NAMES[rows], LABELS[rows])))
    return folder


# --- What is shared with others: the cases as they came


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("61-pyskl-none-annotation/a.pkl", f": annotation 4 of 15 is None; {KEYS}"),
        ("67-pyskl-nan/a.pkl", ": S001C001P001R001A001: y of joint 4 of body 0 in frame 3, counted from 0, is NaN; expected finite numbers."),
        ("67b-pyskl-overflow-float16-mm/a.pkl", ": S001C001P001R001A001: a person of 4,187 m: millimetres? Read them with --unit mm."),
        ("69d-pyskl-gz-or-torch/a.pkl", " is a file that torch saved. Load it with torch.load and save what it holds with pickle.dump."),
        ("74-aimclr-label-npy-only", "/xsub/train_label.npy holds labels without names. Give the folder with the train_label.pkl that belongs to it: --labels FOLDER"),
        ("76c-aimclr-nan-inf", "/xsub/train_position.npy: S001C001P001R001A001: x of joint 4 of body 0 in frame 3, counted from 0, is NaN; expected finite numbers."),
        ("76d-labels-one-based", ": S001C001P001R001A001 has label 1, but its name says action 1, which is label 0; so with 15 of 15 clips. All labels are one too high, as if counted from 1: subtract 1."),
        ("76e-labels-contradict-names/a.pkl", ": S001C001P001R001A001 has label 7, but its name says action 1, which is label 0; so with 15 of 15 clips. Labels are the action numbers of the names minus 1."),
        ("77-sgn-h5/NTU_CS.h5", " is an HDF5 file that skeltools did not write. Save its arrays in a layout that import reads, for example numpy.savez(FILE, x_train=..., y_train=..., x_test=..., y_test=...) as CTR-GCN's."),
        ("78-npy-file-itself/train_position.npy", " is a NumPy array (.npy). Give the folder that holds it beside its labels: train_position.npy, train_label.pkl ..."),
        ("94-nan-import-then-train", "/xsub/train_position.npy: S001C001P001R001A001: x of joint 4 of body 0 in frame 3, counted from 0, is NaN; expected finite numbers."),
    ],
)  # fmt: skip
def test_cases_that_are_refused(shared: Path, tmp_path: Path, case: str, message: str) -> None:
    first, _, rest = case.partition("/")
    shutil.copytree(shared / "cases" / first, tmp_path / first)
    assert refused(tmp_path / first / rest if rest else tmp_path / first) == message


@pytest.mark.parametrize(
    ("case", "more", "notes"),
    [
        ("66-pyskl-three-persons/a.pkl", (), ["15 clips hold more than two persons: the first two were taken, the others left out. To choose among all: --prep NAME --set chain.bodies=spread (or tracked)"]),
        ("66-pyskl-three-persons/a.pkl", ("--prep", "aimclr", "--set", "chain.bodies=spread"), []),
        ("67b-pyskl-overflow-float16-mm/a.pkl", ("--unit", "mm"), []),
        ("68-pyskl-float64-int/a.pkl", (), []),
        ("70-ctrgcn-npz/NTU60_CS.npz", (), ["NTU60_CS.npz holds no names: its clips are called train_000000 and so on, by side and row. With --labels NAMES.txt, one clip name per line, they get their own."]),
        ("71-own-export-npz-back/back.npz", (), []),
        ("72b-npz-own-keys/a.npz", (), []),
    ],
)  # fmt: skip
def test_cases_that_are_read(
    shared: Path, tmp_path: Path, case: str, more: tuple[str, ...], notes: list[str]
) -> None:
    result = run(shared / "cases" / case, tmp_path / "o.h5", *more)
    assert result.exit_code == 0, result.output
    told = [f"{tmp_path / 'o.h5'}: 15 clips of ntu60", *(f"  note: {note}" for note in notes)]
    assert result.stdout.splitlines() == told
    assert CliRunner().invoke(main, ["verify", str(tmp_path / "o.h5")]).exit_code == 0
    with ClipFile(tmp_path / "o.h5") as file:
        assert (len(file.rows("xsub", "train")), len(file.rows("xsub", "test"))) == (6, 9)
        assert sorted(set(file.labels.tolist())) == [0, 1, 2]


def test_the_case_of_labels_without_names(shared: Path, tmp_path: Path) -> None:
    case = shared / "cases" / "74-aimclr-label-npy-only"
    names = shared / "cases" / "74-aimclr-label-npy-only-names"
    for given in (names, names / "xsub"):
        result = run(case, tmp_path / "o.h5", "--labels", given, "--replace")
        assert result.exit_code == 0, result.output
        with ClipFile(tmp_path / "o.h5") as file:
            row = file.names.index("S001C002P003R001A002")
            np.testing.assert_array_equal(
                file.clips([row])[0], np.load(case / "xsub" / "val_position.npy")[1]
            )


def test_ctrgcn_as_its_own_reader_reads_it(shared: Path, tmp_path: Path) -> None:
    layouts = shared / "reference" / "peers" / "layouts"
    with np.load(layouts / "expected.npz") as expected:
        (tmp_path / "names.txt").write_text("".join(f"{name}.skeleton\n" for name in expected["names"][::-1]))
        plain = ("--labels", tmp_path / "names.txt")
        assert run(layouts / "NTU60_CS.npz", tmp_path / "o.h5", *plain).exit_code == 0
        with ClipFile(tmp_path / "o.h5") as file:
            assert file.names == expected["names"].tolist()
            assert file.labels.tolist() == expected["labels"].tolist()
            assert file.rows("xsub", "train").tolist() == [0, 1]
            clips = expected["clips"].astype(np.float32).transpose(0, 4, 1, 3, 2)  # (3, 40, M, V, C)
            np.testing.assert_array_equal(file.clips(), clips)
            wanted = [int(expected[f"ctrgcn/{number}/valid_frames"]) for number in range(3)]
            assert np.asarray(file.column("length")).tolist() == wanted
        chain = {"length": "any-body", "span": 0.95, "centre": "none", "rotation": "none", "frames": 24}
        sets = [word for key, value in chain.items() for word in ("--set", f"chain.{key}={value}")]
        result = run(layouts / "NTU60_CS.npz", tmp_path / "p.h5", *plain, "--prep", "aimclr", *sets)
        assert result.exit_code == 0, result.output
        with ClipFile(tmp_path / "p.h5") as file:
            for number in (0, 2):  # clip 1 has a gap, whose later frames CTR-GCN counts by number
                found = file.clips([number])[0]
                assert np.abs(found - expected[f"ctrgcn/{number}/center95"]).max() < 5e-6


# --- Kinds of files, in every place where one is met


def torch_saved(path: Path) -> None:
    torch.save({"w": torch.zeros(2)}, path)


def of_another_project(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = [1.0]


KINDS: list[tuple[Callable[[Path], object], str]] = [
    (lambda path: path.write_bytes(gzip.compress(pickle.dumps(pyskl()))), " a gzip file. Unpack it with gunzip and give what is inside."),
    (lambda path: path.write_text("<!doctype html><html>"), " a web page, not the file that it offers. Download it again; the page may ask for a login or a confirmation."),
    (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\n"), " a pointer of Git LFS, not the file itself. Fetch the file: git lfs pull"),
    (torch_saved, " a file that torch saved. Load it with torch.load and save what it holds with pickle.dump."),
    (of_another_project, " an HDF5 file that skeltools did not write. "),
    (lambda path: path.write_bytes(b"7z\xbc\xaf\x27\x1c"), " a 7z archive. "),
    (lambda path: path.write_bytes("40\n".encode("utf-16")), " a text file in UTF-16 or UTF-32. "),
    (lambda path: path.write_bytes(b""), " an empty file. "),
    (os.mkfifo, " a device or a pipe. "),
]  # fmt: skip


@pytest.mark.parametrize(("write", "told"), KINDS)
def test_import_tells_the_kind(write: Callable[[Path], object], told: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    write(path)
    assert refused(path).startswith(f" is{told}")
    for name, what in (("train_label.pkl", "pickle"), ("val_position.npy", "NumPy array")):
        home = aimclr(tmp_path / name)
        (home / "xsub" / name).unlink()
        write(home / "xsub" / name)
        message = refused(home)
        assert message.startswith(f"/xsub/{name}: not a {what} but{told.partition('.')[0]}."), message


@pytest.mark.parametrize(("write", "told"), KINDS)
def test_commands_on_converted_files_and_weights_tell_the_kind(
    write: Callable[[Path], object], told: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.h5"
    write(path)
    result = CliRunner().invoke(main, ["inspect", str(path)])
    assert result.exit_code == 2
    kind = told.partition(".")[0].strip()
    if kind == "an HDF5 file that skeltools did not write":
        kind = "was not written by skeltools"
    assert kind in result.stderr
    result = CliRunner().invoke(main, ["import-weights", str(path), "--out", str(tmp_path / "run")])
    assert result.exit_code == 2
    if write is torch_saved:
        assert "holds no encoder that is known" in result.stderr
    else:
        assert f"is not a readable state dict but{told.partition('.')[0]}." in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_recipe_and_a_record_of_another_kind(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "r.toml")  # opening it would block for ever
    (tmp_path / "u.toml").write_bytes("[chain]\n".encode("utf-16"))
    (tmp_path / "b.toml").write_bytes(b"\xef\xbb\xbfchain.frames = 50\n")
    source = saved(tmp_path, pyskl())
    assert (
        refused(source, "--prep", tmp_path / "r.toml")
        == f"Recipe file {tmp_path / 'r.toml'} cannot be read: it is a device or a pipe. Give a file."
    )
    assert (
        refused(source, "--prep", tmp_path / "u.toml")
        == f"Recipe file {tmp_path / 'u.toml'} cannot be read: it is a text file in UTF-16 or UTF-32. Save it as UTF-8, for example: iconv -f UTF-16 -t UTF-8 FILE > NEW."
    )
    assert run(source, tmp_path / "o.h5", "--prep", tmp_path / "b.toml").exit_code == 0
    with ClipFile(tmp_path / "o.h5") as file:
        assert file.frames == 50


# --- pyskl's annotations


def changed(place: int, **entries: Any) -> dict[str, Any]:
    content = copy.deepcopy(pyskl())
    content["annotations"][place].update(entries)
    return content


def without(key: str) -> dict[str, Any]:
    content = copy.deepcopy(pyskl())
    del content["annotations"][2][key]
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pyskl(annotations=[None]), f": annotation 1 of 1 is None; {KEYS}"),
        (pyskl(annotations=[*pyskl()["annotations"], [1]]), f": annotation 7 of 7 is of type list; {KEYS}"),
        (pyskl(annotations=None), ": 'annotations' is not a list; expected pyskl's dictionary with 'split' and 'annotations'."),
        (pyskl(annotations=[]), " holds no clip."),
        ({"split": {}}, ": expected pyskl's dictionary with 'split' and 'annotations'."),
        (pyskl(split=[NAMES]), ": 'split' is not a dictionary of lists of names; expected names such as S001C001P001R001A001 by xsub_train."),
        (pyskl(split={"xsub_train": [None]}), ": None is not a name of a clip; expected names such as S001C001P001R001A001 by xsub_train."),
        (without("label"), f": annotation 3 of 6 has no 'label'; {KEYS}"),
        (without("keypoint"), f": annotation 3 of 6 has no 'keypoint'; {KEYS}"),
        (changed(1, label=1.0), ": annotation 2 of 6: the label, 1.0, is not a whole number."),
        (changed(1, label=None), ": annotation 2 of 6: the label, None, is not a whole number."),
        (changed(1, frame_dir=7), ": annotation 2 of 6: a value of type int is not a name of a clip."),
        (changed(1, keypoint=None), f": annotation 2 of 6, {NAMES[1]}: keypoint is NoneType; expected an array."),
        (changed(1, keypoint=np.zeros((1, 20, 17, 2))), f": {NAMES[1]}: keypoint has shape (1, 20, 17, 2); expected (M, T, 25, 3)."),
        (changed(1, keypoint=np.zeros((1, 20, 25, 3), bool)), f": {NAMES[1]}: keypoint has type bool; expected float32 or other numbers."),
        (changed(1, frame_dir=NAMES[0]), f": a frame_dir occurs twice: {NAMES[0]}."),
    ],
)  # fmt: skip
def test_annotations_are_named_by_their_number(content: Any, message: str, tmp_path: Path) -> None:
    assert refused(saved(tmp_path, content)) == message


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64, np.int16, ">f4"])
def test_numbers_of_any_type_are_read(kind: Any, tmp_path: Path) -> None:
    content = pyskl()
    for item in content["annotations"]:
        item["keypoint"] = (2 * item["keypoint"]).astype(np.int16).astype(kind)
    assert run(saved(tmp_path, content), tmp_path / "o.h5").exit_code == 0
    home = aimclr(
        tmp_path / "theirs",
        np.stack([item["keypoint"][[0, 0]] for item in content["annotations"]]).transpose(0, 4, 2, 3, 1),
    )
    assert run(home, tmp_path / "a.h5").exit_code == 0
    with ClipFile(tmp_path / "o.h5") as one, ClipFile(tmp_path / "a.h5") as other:
        assert one.attrs["chain.dtype"] == other.attrs["chain.dtype"] == "float32"
        np.testing.assert_array_equal(one.clips()[..., 0], other.clips()[..., 1])


def test_one_clip_of_float16_does_not_round_the_others(tmp_path: Path) -> None:
    content = pyskl()
    content["annotations"][1]["keypoint"] = content["annotations"][1]["keypoint"].astype(
        np.float32
    ) + np.float32(1e-5)
    assert run(saved(tmp_path, content), tmp_path / "o.h5").exit_code == 0
    with ClipFile(tmp_path / "o.h5") as file:
        row = file.names.index(NAMES[1])
        np.testing.assert_array_equal(
            file.clips([row])[0][..., 0], content["annotations"][1]["keypoint"][0].transpose(2, 0, 1)
        )


def test_a_third_person_is_offered_to_the_choice_of_bodies(tmp_path: Path) -> None:
    content = pyskl()
    large = body_of(5, 20).astype(np.float32)
    for place in (0, 4):
        small = 0.2 * content["annotations"][place]["keypoint"].astype(np.float32)
        content["annotations"][place]["keypoint"] = np.concatenate([small, small, large[None]])
    result = run(saved(tmp_path, content), tmp_path / "o.h5")
    assert result.stdout.splitlines()[1] == (
        "  note: 2 clips hold more than two persons: the first two were taken, the others left out. To choose among all: --prep NAME --set chain.bodies=spread (or tracked)"
    )
    words = (
        "--prep",
        "aimclr",
        "--set",
        "chain.bodies=spread",
        "--set",
        "chain.frames=20",
        "--set",
        "chain.centre=none",
        "--set",
        "chain.rotation=none",
    )
    result = run(saved(tmp_path, content), tmp_path / "s.h5", *words)
    assert "persons" not in result.stdout
    with ClipFile(tmp_path / "s.h5") as file:
        np.testing.assert_allclose(
            file.clips([file.names.index(NAMES[0])])[0, ..., 0], large.transpose(2, 0, 1), atol=1e-6
        )


def test_what_a_preparation_leaves_out_is_listed(tmp_path: Path) -> None:
    content = changed(2, keypoint=np.zeros((1, 20, 25, 3), np.float16))
    content["split"]["xsub_val"] = [*NAMES[3:], "S001C001P003R009A001"]
    result = run(saved(tmp_path, content), tmp_path / "o.h5", "--prep", "aimclr")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        f"{tmp_path / 'o.h5'}: 5 clips of ntu60",
        "  left out: 1 all-zero",
        "  note: 1 clip of split xsub_val has no annotation: S001C001P003R009A001.",
    ]
    with ClipFile(tmp_path / "o.h5") as file:
        assert file.excluded == [(NAMES[2], "all-zero: no body has a position in any frame")]
        assert len(file) == 5


@pytest.mark.parametrize("key", ["frame_dir", "label"])
def test_a_value_that_doubles_with_each_level_is_told_at_once(key: str, tmp_path: Path) -> None:
    deep: list[Any] = []
    for _ in range(60):
        deep = [deep, deep]
    assert "a value of type list" in refused(saved(tmp_path, changed(1, **{key: deep})))
    home = aimclr(tmp_path / "theirs")
    (home / "xsub" / "train_label.pkl").write_bytes(pickle.dumps(([deep], [deep])))
    assert refused(home).endswith(": expected a list of names and a list of whole numbers.")


# --- Numbers, units


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(("kind", "bits"), [("f4", 0x7FA00000), ("f8", 0x7FF4000000000000)])
def test_a_signalling_nan_is_refused_without_a_warning(kind: str, bits: int, tmp_path: Path) -> None:
    """NumPy warns of an invalid value where it casts or tests one."""
    clips = np.random.default_rng(0).normal(0, 0.3, (6, 3, 20, 25, 2)).astype(kind)
    clips.view(kind.replace("f", "u"))[3, 1, 0, 0, 0] = bits
    told = f"{NAMES[3]}: y of joint 0 of body 0 in frame 0, counted from 0, is NaN; expected finite numbers."
    assert refused(aimclr(tmp_path / "theirs", clips)) == f"/xsub/val_position.npy: {told}"
    np.savez(
        tmp_path / "a.npz", clips=clips, labels=LABELS, names=NAMES, xsub_train=[0, 1, 2], xsub_test=[3, 4, 5]
    )
    assert refused(tmp_path / "a.npz") == f": {told}"
    flat = clips.transpose(0, 2, 4, 3, 1).reshape(6, 20, -1)
    hot = np.eye(60)[LABELS]
    np.savez(tmp_path / "NTU60_CS.npz", x_train=flat[:3], y_train=hot[:3], x_test=flat[3:], y_test=hot[3:])
    found = refused(tmp_path / "NTU60_CS.npz")
    assert found.endswith(
        "y of joint 0 of body 0 in frame 0, counted from 0, is NaN; expected finite numbers."
    )


@pytest.mark.parametrize(
    ("value", "place", "told"),
    [
        (np.nan, (5, 2, 19, 24, 1), "z of joint 24 of body 1 in frame 19, counted from 0, is NaN; expected finite numbers."),
        (np.inf, (3, 1, 0, 0, 0), "y of joint 0 of body 0 in frame 0, counted from 0, is inf; expected finite numbers."),
        (-np.inf, (0, 0, 7, 3, 0), "x of joint 3 of body 0 in frame 7, counted from 0, is -inf; expected finite numbers."),
        (1e300, (4, 0, 7, 3, 0), "x of joint 3 of body 0 in frame 7, counted from 0, is inf; expected finite numbers."),
    ],
)  # fmt: skip
def test_numbers_that_are_not_finite_are_named(
    value: float, place: tuple[int, ...], told: str, tmp_path: Path
) -> None:
    clips = np.random.default_rng(0).normal(0, 0.3, (6, 3, 20, 25, 2))
    clips[place] = value
    side = "train" if place[0] < 3 else "val"
    assert (
        refused(aimclr(tmp_path / "theirs", clips)) == f"/xsub/{side}_position.npy: {NAMES[place[0]]}: {told}"
    )
    np.savez(
        tmp_path / "a.npz", clips=clips, labels=LABELS, names=NAMES, xsub_train=[0, 1, 2], xsub_test=[3, 4, 5]
    )
    assert refused(tmp_path / "a.npz") == f": {NAMES[place[0]]}: {told}"


def test_what_does_not_fit_into_float16_is_told(tmp_path: Path) -> None:
    with np.errstate(over="ignore"):
        points = (1e6 * body_of(0, 20)[None]).astype(np.float16)
    for more in ((), ("--prep", "aimclr")):
        message = refused(saved(tmp_path, changed(0, keypoint=points)), *more)
        assert message.endswith(
            "more); expected finite numbers. float16 ends at 65,504: save the file with float32."
        )


@pytest.mark.parametrize(
    ("unit", "factor", "word"), [("mm", 1000, "millimetres"), ("cm", 100, "centimetres")]
)
def test_other_units_are_asked_about_and_read(unit: str, factor: int, word: str, tmp_path: Path) -> None:
    assert run(saved(tmp_path, pyskl()), tmp_path / "m.h5", "--prep", "aimclr").exit_code == 0
    content = pyskl()
    for item in content["annotations"]:
        item["keypoint"] = (factor * item["keypoint"].astype(np.float64)).astype(np.float32)
    for more in ((), ("--prep", "aimclr"), ("--prep", "aimclr", "--set", "chain.dtype=float16")):
        message = refused(saved(tmp_path, content), *more)
        assert f" m: {word}? Read them with --unit {unit}." in message
        assert run(tmp_path / "p.pkl", tmp_path / "o.h5", *more, "--unit", unit, "--replace").exit_code == 0
    assert (
        run(tmp_path / "p.pkl", tmp_path / "o.h5", "--prep", "aimclr", "--unit", unit, "--replace").exit_code
        == 0
    )
    with ClipFile(tmp_path / "o.h5") as file, ClipFile(tmp_path / "m.h5") as metres:
        np.testing.assert_allclose(file.clips(), metres.clips(), atol=1e-5)
        assert file.attrs["chain.unit"] == unit
        assert "chain.unit" not in metres.attrs
    assert "Unknown unit 'km'. Choose one of: m, cm, mm." in refused(tmp_path / "p.pkl", "--unit", "km")


# --- Labels and names


def labelled(labels: list[Any], names: list[str] | None = None) -> dict[str, Any]:
    content = pyskl()
    for item, label, name in zip(content["annotations"], labels, names or NAMES, strict=True):
        item.update(label=label, frame_dir=name)
    if names:
        content["split"] = {"xsub_train": names[:3], "xsub_val": names[3:]}
    return content


OTHERS = [f"clip{number}" for number in range(6)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (labelled([1, 2, 3, 1, 2, 3]), f": {NAMES[0]} has label 1, but its name says action 1, which is label 0; so with 6 of 6 clips. All labels are one too high, as if counted from 1: subtract 1."),
        (labelled([0, 1, 2, 0, 2, 1]), f": {NAMES[4]} has label 2, but its name says action 2, which is label 1; so with 2 of 6 clips. Labels are the action numbers of the names minus 1."),
        (labelled([0, 1, 2, 0, 1, 60]), f": {NAMES[5]} has label 60, but its name says action 3, which is label 2; so with 1 of 6 clips. Labels are the action numbers of the names minus 1."),
        (labelled([1, 2, 60, 1, 2, 3], OTHERS), ": label 60 is not one of 0 to 59 of ntu60. All labels are one too high, as if counted from 1: subtract 1."),
        (labelled([0, 2, 60, 1, 2, 3], OTHERS), ": label 60 is not one of 0 to 59 of ntu60."),
        (labelled([0, 2, -1, 1, 2, 3], OTHERS), ": label -1 is not one of 0 to 59 of ntu60."),
    ],
)  # fmt: skip
def test_labels_that_cannot_be(content: Any, message: str, tmp_path: Path) -> None:
    assert refused(saved(tmp_path, content)) == message


def test_names_that_say_nothing_are_taken(tmp_path: Path) -> None:
    assert run(saved(tmp_path, labelled([5, 4, 3, 2, 1, 0], OTHERS)), tmp_path / "o.h5").exit_code == 0


def test_labels_without_names_need_a_folder_with_names(tmp_path: Path) -> None:
    home, names = aimclr(tmp_path / "theirs"), tmp_path / "names" / "xsub"
    names.mkdir(parents=True)
    for side, labels in (("train", [0, 1, 2]), ("val", [0, 1, 2])):
        (home / "xsub" / f"{side}_label.pkl").rename(names / f"{side}_label.pkl")
        np.save(home / "xsub" / f"{side}_label.npy", labels)
    assert refused(home).endswith("--labels FOLDER")
    assert run(home, tmp_path / "o.h5", "--labels", tmp_path / "names").exit_code == 0
    assert (
        refused(home, "--labels", tmp_path / "none")
        == f"{tmp_path / 'none'} is not a folder with train_label.pkl. Give one to --labels."
    )
    np.save(home / "xsub" / "val_label.npy", np.array([[0], [2], [2]]))
    assert (
        refused(home, "--labels", names)
        == f"/xsub/val_label.npy: label 2 in row 1, but {names / 'val_label.pkl'} gives {NAMES[4]} label 1."
    )
    np.save(home / "xsub" / "val_label.npy", [0, 1])
    assert (
        refused(home, "--labels", names)
        == f"/xsub/val_label.npy: 2 labels, but {names / 'val_label.pkl'} has 3."
    )
    np.save(home / "xsub" / "val_label.npy", np.eye(3))
    assert (
        refused(home, "--labels", names)
        == "/xsub/val_label.npy: its shape is (3, 3), its type float64; expected N whole numbers."
    )
    message = refused(saved(tmp_path, pyskl()), "--labels", names)
    assert (
        message == f"--labels gives names to arrays without any; {tmp_path / 'p.pkl'} has them. Leave it out."
    )


# --- NumPy archives


def ctrgcn(path: Path, **changes: Any) -> Path:
    clips = np.stack([item["keypoint"][0] for item in pyskl()["annotations"]]).astype(np.float32)
    rows = np.concatenate([clips, np.zeros_like(clips)], axis=2).reshape(6, 20, 150)  # body, joint, x y z
    hot = np.eye(60)[LABELS]
    content = {"x_train": rows[:3], "y_train": hot[:3], "x_test": rows[3:], "y_test": hot[3:]} | changes
    np.savez(path, **{key: value for key, value in content.items() if value is not None})
    return path


@pytest.mark.parametrize(
    ("name", "split"),
    [("NTU60_CS", "xsub"), ("NTU60_CV", "xview"), ("NTU60_XSub", "xsub"), ("my-NTU60_XView", "xview")],
)
def test_ctrgcn_names_its_split_by_its_file(name: str, split: str, tmp_path: Path) -> None:
    path = ctrgcn(tmp_path / f"{name}.npz")
    assert run(path, tmp_path / "o.h5").exit_code == 0
    with ClipFile(tmp_path / "o.h5") as file:
        assert file.splits == (split,)
        assert file.names[0] == "test_000000"
        assert file.names[file.rows(split, "train")[2]] == "train_000002"
        np.testing.assert_array_equal(
            file.clips([5])[0][..., 0], pyskl()["annotations"][2]["keypoint"][0].transpose(2, 0, 1)
        )


def test_ctrgcn_rows_get_names_by_its_order(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("\ufeff" + "\r\n".join(reversed(NAMES)), encoding="utf-8")
    path = ctrgcn(tmp_path / "NTU60_CS.npz")
    assert run(path, tmp_path / "o.h5", "--labels", tmp_path / "names.txt").exit_code == 0
    with ClipFile(tmp_path / "o.h5") as file:
        assert file.names == sorted(NAMES)
        assert np.asarray(file.column("subject")).tolist() == [1, 3, 1, 3, 1, 3]
    path = ctrgcn(tmp_path / "NTU60_CV.npz")
    assert refused(path, "--labels", tmp_path / "names.txt").startswith(
        f"{tmp_path / 'names.txt'}: 4 of its names are on the train side of xview, but x_train of "
    )
    (tmp_path / "names.txt").write_text("\n".join([*NAMES[:5], "x"]))
    assert (
        refused(ctrgcn(tmp_path / "NTU60_CS.npz"), "--labels", tmp_path / "names.txt")
        == f"{tmp_path / 'names.txt'}, line 6: 'x' is not a name such as S001C001P001R001A001."
    )
    wrong = [*NAMES[:3], *(name.replace("R001", "R002").replace("A001", "A009") for name in NAMES[3:])]
    (tmp_path / "names.txt").write_text("\n".join(wrong))
    assert " has label 0, but its name says action 9, which is label 8" in refused(
        tmp_path / "NTU60_CS.npz", "--labels", tmp_path / "names.txt"
    )


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("NTU60", {}, ": its name does not tell the split. Call it as CTR-GCN does, such as NTU60_CS.npz (xsub), NTU60_CV.npz (xview) or NTU120_CSet.npz (xset)."),
        ("NTU60_CS", {"x_test": None}, ": it holds x_train, y_test, y_train; expected x_train, y_train, x_test and y_test (CTR-GCN), or clips, labels and names (skeltools export)."),
        ("NTU60_CS", {"x_test": np.zeros((3, 20, 75))}, ": x_test has shape (3, 20, 75); expected (N, T, 150)."),
        ("NTU60_CS", {"y_test": np.zeros((3, 60))}, ": row 0 of y_test is not one 1 among zeros."),
        ("NTU60_CS", {"y_test": np.eye(60)[:2]}, ": y_test has shape (2, 60); expected (3, classes), one 1 in each row."),
        ("NTU60_CS", {"y_test": np.eye(120)[:3], "y_train": np.eye(120)[:3]}, ": its labels are of 120 classes; ntu60 has 60. Name its dataset."),
    ],
)  # fmt: skip
def test_archives_that_do_not_fit(name: str, changes: Any, message: str, tmp_path: Path) -> None:
    assert refused(ctrgcn(tmp_path / f"{name}.npz", **changes)) == message


def test_own_npz_comes_back_the_same(tmp_path: Path) -> None:
    for number, name in enumerate(["S001C001P001R001A010", "S001C002P003R001A011", "S001C003P001R002A012"]):
        write_ntu(tmp_path / "raw", name, number, frames=20 + number)
    convert(datasets.get("ntu60"), tmp_path / "raw", tmp_path / "o.h5")
    assert (
        CliRunner()
        .invoke(main, ["export", str(tmp_path / "o.h5"), str(tmp_path / "o.npz"), "--to", "npz"])
        .exit_code
        == 0
    )
    assert run(tmp_path / "o.npz", tmp_path / "back.h5").exit_code == 0
    with ClipFile(tmp_path / "o.h5") as file, ClipFile(tmp_path / "back.h5") as back:
        assert back.digest == file.digest
    message = refused(tmp_path / "o.npz", "--prep", "aimclr")
    assert (
        message
        == f"--prep and its --set prepare sequences of pyskl, CTR-GCN and 2s-AGCN; {tmp_path / 'o.npz'} is a file of prepared clips. Leave them out."
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": [0, 1]}, ": labels has shape (2,); expected 6 whole numbers."),
        ({"names": NAMES[:5]}, ": names has shape (5,); expected 6 names."),
        ({"names": [*NAMES[:5], NAMES[0]]}, ": a name occurs twice."),
        ({"xsub_test": [3, 4, 6]}, ": xsub_test holds something other than rows 0 to 5."),
        ({"xview_train": [3, 4]}, ": split 'xview' has one side only; expected xview_train and xview_test."),
        ({"xsub_test": [2, 3, 4, 5]}, f": {NAMES[2]} is on both sides of split 'xsub'."),
        ({"clips": np.zeros((6, 20, 25, 3))}, ": clips has shape (6, 20, 25, 3); expected (N, 3, T, 25, 2)."),
        ({"classes": ["a"] * 51}, ": its labels are of 51 classes; ntu60 has 60. Name its dataset."),
    ],
)  # fmt: skip
def test_own_npz_that_was_edited(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    content = {
        "clips": np.ones((6, 3, 20, 25, 2)),
        "labels": LABELS,
        "names": NAMES,
        "xsub_train": [0, 1, 2],
        "xsub_test": [3, 4, 5],
    }
    np.savez(tmp_path / "a.npz", **(content | changes))
    assert refused(tmp_path / "a.npz") == message


# --- Export


def test_exported_pickles_name_what_old_and_new_numpy_read(tmp_path: Path) -> None:
    assert run(saved(tmp_path, pyskl()), tmp_path / "o.h5").exit_code == 0
    for to, out, inside in (("pyskl", "e.pkl", ""), ("aimclr", "folder", "xsub/train_label.pkl")):
        assert (
            CliRunner()
            .invoke(main, ["export", str(tmp_path / "o.h5"), str(tmp_path / out), "--to", to])
            .exit_code
            == 0
        )
        path = tmp_path / out / inside
        words = [
            argument for _, argument, _ in pickletools.genops(path.read_bytes()) if isinstance(argument, str)
        ]
        modules = {word for word in words if word.startswith("numpy")}
        assert modules == ({"numpy", "numpy.core.multiarray"} if to == "pyskl" else set())
        with path.open("rb") as file:
            found = pickle.load(file)
        if to == "pyskl":
            assert found["annotations"][0]["frame_dir"] == sorted(NAMES)[0]
            assert pickles.load(path)["annotations"][0]["keypoint"].dtype == np.float16


@pytest.mark.parametrize(
    "content", [np.arange(3), {"a": [np.float32(1.5), np.array(["x"])]}, (["n"], [1, None, True])]
)
def test_dump_writes_what_pickle_reads(content: Any, tmp_path: Path) -> None:
    with (tmp_path / "a.pkl").open("wb") as file:
        pickles.dump(content, file)
    data = (tmp_path / "a.pkl").read_bytes()
    assert b"numpy._core" not in data
    assert repr(pickle.loads(data)) == repr(content)
