"""Hostile files: a few hundred mutated inputs per reader, and every input that ever failed."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from random import Random

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from fuzz.mutate import mutate
from fuzz.targets import TARGETS, _h5_seed
from fuzz.worker import case, seeds
from skeltools.cli.main import main
from skeltools.errors import DataError, FormatError, RunError, SettingError, SkeltoolsError, SourceError
from skeltools.files import pickles
from skeltools.files import tensors as weights
from skeltools.files.arrays import open_array, read_arrays
from skeltools.files.texts import printable
from skeltools.formats.sources import list_entries, read_all
from skeltools.reference import weights as imports
from skeltools.results import record as results
from skeltools.runs.settings import resolve_recipe
from skeltools.store import ClipFile
from skeltools.store.writer import seal

CASES = {"hdf5": 40, "7z": 40}
CORPUS = Path(__file__).parents[1] / "corpus"


@pytest.mark.parametrize("name", TARGETS)
def test_mutated_inputs_are_read_or_refused(name: str, tmp_path: Path) -> None:
    if name == "7z":
        pytest.importorskip("py7zr")
    rng = Random(f"fast {name}")
    known, target = seeds(name), TARGETS[name]
    outcomes = {"read": 0, "refused": 0}
    for number in range(CASES.get(name, 100)):
        data = known[number] if number < len(known) else case(rng, target, known)
        try:
            target.run(data, tmp_path)
            outcomes["read"] += 1
        except SkeltoolsError:
            outcomes["refused"] += 1
    assert all(outcomes.values()), outcomes


@pytest.mark.parametrize(
    "path", sorted(path for path in CORPUS.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_what_once_failed_is_refused_now(path: Path, tmp_path: Path) -> None:
    with pytest.raises(SkeltoolsError):
        TARGETS[path.parent.name].run(path.read_bytes(), tmp_path)


def test_mutations_are_the_same_for_a_seed() -> None:
    assert [mutate(Random(4), b"1 2 3" * 9) for _ in range(2)] == [mutate(Random(4), b"1 2 3" * 9)] * 2


def zipped(path: Path, content: bytes, claimed: int | None = None) -> Path:
    """Write a zip archive, whose table may claim another size than its member has."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.skeleton", content)
    data = target.getvalue()
    if claimed is not None:
        at = data.index(b"PK\x01\x02") + 24
        data = data[:at] + claimed.to_bytes(4, "little") + data[at + 4 :]
    path.write_bytes(data)
    return path


def test_a_zip_member_that_unpacks_to_more_than_it_says(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", bytes(1 << 24), claimed=100)
    with pytest.raises(FormatError, match="damaged"):
        read_all(list_entries([path]))


def test_a_zip_bomb_is_refused_by_its_ratio(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="unpacks to more than 200 times its size"):
        list_entries([zipped(tmp_path / "x.zip", bytes(1 << 24))])


def test_members_that_overlap(tmp_path: Path) -> None:
    data = bytearray(zipped(tmp_path / "x.zip", b"0\n" * 500).read_bytes())
    at = data.index(b"PK\x01\x02") + 20
    data[at : at + 4] = (1 << 20).to_bytes(4, "little")
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(SourceError, match="overlap"):
        list_entries([tmp_path / "x.zip"])


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b".",
        b"\x80\x04\x95" + (1 << 40).to_bytes(8, "little") + b".",
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nJ\xff\xff\xff\x7f\x85U\x01b\x87R.",
        b"\x80\x02cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R.",
        b"\x80\x02cnumpy\ndtype\nU\x02V8K\x00K\x01\x87R.",
    ],
)
def test_pickles_that_claim_or_name_too_much(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(data)
    with pytest.raises(FormatError):
        pickles.load(tmp_path / "x.pkl")


def test_a_distant_place_in_the_memo_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(
        b"\x80\x02]r\xff\xff\xff\x7f."
    )  # the compiled machine makes 16 GB for it
    assert pickles.load(tmp_path / "x.pkl") == []


def test_an_array_of_another_size_than_its_bytes(tmp_path: Path) -> None:
    data = pickle.dumps(np.arange(3, dtype="<i8"), 2).replace(b"K\x03\x85", b"J\xff\xff\xff\x7f\x85")
    (tmp_path / "x.pkl").write_bytes(data)
    with pytest.raises(FormatError, match=r"needs [0-9]+ bytes, 24 are there"):
        pickles.load(tmp_path / "x.pkl")


def test_a_checkpoint_that_claims_more_than_it_holds(tmp_path: Path) -> None:
    for new in (True, False):
        torch.save({"a": torch.ones(300)}, tmp_path / "x.pt", _use_new_zipfile_serialization=new)
        assert weights.load(tmp_path / "x.pt", "file", "")["a"].shape == (300,)
        data = (tmp_path / "x.pt").read_bytes()
        big = data.replace(b"M,\x01", b"M\xff\xff")
        if new:
            with (
                zipfile.ZipFile(io.BytesIO(data)) as archive,
                zipfile.ZipFile(tmp_path / "x.pt", "w") as made,
            ):
                for item in archive.infolist():
                    made.writestr(item.filename, archive.read(item).replace(b"M,\x01", b"M\xff\xff"))
        else:
            (tmp_path / "x.pt").write_bytes(big)
        with pytest.raises(RunError, match=r"are there|are left in the file"):
            weights.load(tmp_path / "x.pt", "file", "")


def test_an_encoder_too_wide_is_not_built(tmp_path: Path) -> None:
    state = {f"encoder_q.st_gcn_networks.{block}.tcn.0.weight": torch.ones(9000) for block in (0, 9)}
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(RunError, match="has 9,000 channels; 1 to 4,096 are read"):
        imports.read(tmp_path / "x.pt")


def test_an_error_is_one_line_whatever_a_name_in_it_holds(tmp_path: Path) -> None:
    state = {f"encoder_q.st_gcn_networks.{block}.tcn.0.weight": torch.ones(1) for block in (0, 9)}
    torch.save({"encoder_q.A\nError: none\r": torch.ones(1)} | state, tmp_path / "x.pt")
    with pytest.raises(RunError, match="unknown entry") as caught:
        imports.read(tmp_path / "x.pt")
    assert str(caught.value).endswith("'encoder_q.A\\nError: none\\r'.")
    assert str(FormatError(Path("a\nb"), "c\r", 1)) == "a\\nb, line 1: c\\r"


def _soft(file: h5py.File) -> None:
    del file["gaps"]
    file["gaps"] = h5py.SoftLink("/length")


def _external(file: h5py.File) -> None:
    del file["gaps"]
    file["gaps"] = h5py.ExternalLink("other.h5", "/gaps")


def _elsewhere(file: h5py.File) -> None:
    del file["gaps"]
    file.create_dataset("gaps", (2,), "<i8", external=[("/etc/passwd", 0, 16)])


def _virtual(file: h5py.File) -> None:
    del file["gaps"]
    layout = h5py.VirtualLayout((2,), "<i8")
    layout[:] = h5py.VirtualSource("other.h5", "gaps", (2,))
    file.create_virtual_dataset("gaps", layout)


def _huge(file: h5py.File) -> None:
    del file["clips"]
    file.create_dataset("clips", (1 << 30, 3, 64, 25, 2), "<f4", chunks=(1, 3, 64, 25, 2))


def _wrong_type(file: h5py.File) -> None:
    del file["clips"]
    file["clips"] = np.zeros((2, 3, 2, 25, 2), "<i8")


@pytest.mark.parametrize("change", [_soft, _external, _elsewhere, _virtual, _huge, _wrong_type])
def test_hdf5_files_that_reach_out_or_claim_too_much(change: object, tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    path.write_bytes(_h5_seed())
    with h5py.File(path, "r+") as file:
        change(file)  # type: ignore[operator]
    with pytest.raises(DataError, match="is damaged"):
        ClipFile(path)


@pytest.mark.parametrize(
    "text",
    ["when = 3", "title = 4", "[[when]]\nmatch = 3", "[[when]]\nmatch = {split = 3}", "a = " + "[" * 9000,
     "train.lr = 1" + "0" * 400, "train.lr = 1" + "0" * 5000, "# " + "x" * (1 << 20)],
)  # fmt: skip
def test_recipes_of_strange_types_and_sizes(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(SettingError):
        resolve_recipe(str(tmp_path / "x.toml"), dataset="ntu60", split="xsub", stream="joint")


def test_records_nested_too_deeply_or_out_of_their_folder(tmp_path: Path) -> None:
    good = TARGETS["record"].seeds()[0]
    for bad in (
        b"[" * 100_000,
        good.replace(b'"scores": "x"', b'"scores": "../x"'),
        good.replace(b"0.5", b"NaN"),
    ):
        assert bad != good
        (tmp_path / "x.json").write_bytes(bad)
        with pytest.raises(RunError):
            results.read(tmp_path / "x.json")


def test_arrays_that_claim_too_much_or_hold_objects(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros(3))
    path.write_bytes(path.read_bytes().replace(b"(3,), }", b"(9999999999999,), }"))
    with pytest.raises(ValueError, match="claims"):
        open_array(path)
    np.save(path, np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="objects"):
        open_array(path)
    np.savez(path.with_suffix(".npz"), a=np.array([{}], object))
    with pytest.raises(ValueError, match="objects"):
        read_arrays(path.with_suffix(".npz"))


def test_control_characters_are_shown_as_escapes(tmp_path: Path) -> None:
    assert printable("a\x1b[2Jb\u202ec\x07\udcff d\n") == "a\\x1b[2Jb\\u202ec\\x07\\udcff d\n"
    path = tmp_path / "x.h5"
    path.write_bytes(_h5_seed())
    with h5py.File(path, "r+") as file:
        names = file.attrs["class_names"]
        names[1] = "wave\x1b]0;owned\x07\u202e"
        file.attrs.create("class_names", names, dtype=h5py.string_dtype("utf-8"))
        file.attrs["prep"] = "mine\x1b[2J"
        seal(file)
    for args in (["inspect", path], ["inspect", path, "--clip", "no\x1b[2J"], ["verify", f"{path}\x1b[2J"]):
        result = CliRunner().invoke(main, [str(arg) for arg in args])
        shown = result.stdout + result.stderr
        assert "\x1b" not in shown
        assert "\x07" not in shown
        assert "\\x1b" in shown
