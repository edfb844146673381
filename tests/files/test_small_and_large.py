"""Small files that would take all memory or all time: what they name, claim or nest is bounded by what they hold."""

from __future__ import annotations

import io
import pickle
import resource
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from fuzz.targets import _h5_seed

from skeltools.cli.main import main
from skeltools.errors import DataError, FormatError, SkeltoolsError
from skeltools.files import arrays, kinds, pickles, texts
from skeltools.store import ClipFile

ROOM = 1 << 29


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """Let each test reserve half a gigabyte beyond what the process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    if not pages:
        pytest.skip("the size of this process is not told")
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


MERSENNE = (1 << 61) - 1
"""Whole numbers that differ by a multiple of it have one hash."""


def keys(names: Iterator[bytes], container: bytes, end: bytes) -> bytes:
    return b"\x80\x04" + container + b"(" + b"".join(names) + end + b"."


def _equal_hashes(kind: str) -> bytes:
    """A pickle of 30,000 keys with one hash; each would be compared with all before it."""
    numbers = [place * MERSENNE for place in range(1, 30_000)]
    if kind == "dictionary":
        return keys((b"L%dL\nN" % number for number in numbers), b"}", b"u")
    if kind == "set":
        return keys((b"\x8a\x0a" + number.to_bytes(10, "little") for number in numbers), b"\x8f", b"\x90")
    return b"\x80\x04N" + b"".join(b"p%d\n" % number for number in numbers) + b"."  # places of the memo


@pytest.mark.parametrize("kind", ["dictionary", "set", "memo"])
def test_keys_of_one_hash_are_not_compared_with_one_another(kind: str) -> None:
    with pytest.raises(FormatError, match=r"60 bits|place of the memo"):
        pickles.loads(_equal_hashes(kind), "x.pkl")


def test_keys_of_a_numpy_type_whose_hash_is_rounded_are_refused() -> None:
    value = np.longdouble(1) + np.longdouble(2) ** -60
    if value == 1 or value.dtype.str != "<f16":
        pytest.skip("this machine has no longer type than float64")
    with pytest.raises(FormatError, match="neither a text nor a number"):
        pickles.loads(pickle.dumps({value: 1}, 4), "x.pkl")


@pytest.mark.parametrize(
    "content",
    [{3: 1, -7: 2, 1 << 59: 0, True: 1}, {"a": {2.5, None}}, {np.int64(1 << 62): 1, np.str_("x"): 2}],
)
def test_keys_that_people_use_are_read(content: object) -> None:
    assert pickles.loads(pickle.dumps(content, 4), "x.pkl") == content


def _copies(kind: str) -> bytes:
    """A pickle of a megabyte that names its bytes 2,000 times."""
    data = bytes(1 << 20)
    if kind == "text":
        head = b"\x80\x02c_codecs\nencode\nq\x00X" + (1 << 20).to_bytes(4, "little") + data + b"\x85q\x01]("
    else:
        text = b"B" + (1 << 20).to_bytes(4, "little") + data
        made = b"cnumpy\ndtype\nU\x02u1\x85R"
        head = (
            b"\x80\x02cnumpy.core.numeric\n_frombuffer\nq\x00("
            + text
            + made
            + b"M\x00\x04M\x00\x04\x86U\x01Ctq\x01]("
        )
    return head + b"h\x00h\x01R" * 2000 + b"e."


@pytest.mark.parametrize("kind", ["text", "array"])
def test_bytes_that_are_named_again_and_again_are_not_copied_each_time(kind: str) -> None:
    with pytest.raises(FormatError, match="many times its size of copies"):
        pickles.loads(_copies(kind), "x.pkl")


@pytest.mark.parametrize(
    "text",
    [
        "a." * 500_000 + "a = 1", "[" + "a." * 500_000 + "a]", '"=".' * 250_000 + "a = 1", "'x' . " * 80 + "x = 1",
        "a = {b = 1, " + "c . " * 80 + "d = 1}", "x = '''" + '"a\\' * 300_000 + "'''\ny = 1 = 2",
    ],
)  # fmt: skip
def test_keys_of_many_parts_cost_nothing(text: str) -> None:
    with pytest.raises(ValueError, match=r"parts|after a statement"):
        texts.parse_toml(text)


def test_texts_with_many_dots_are_no_keys() -> None:
    text = 'note = "One. Two. ' + "It goes on. " * 100 + '"\nrates = [' + "0.1, " * 100 + "]\na.b.c = 1\n"
    assert texts.parse_toml(text)["a"] == {"b": {"c": 1}}


def _zeros(path: Path, members: int, size: int) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(members):
            file = io.BytesIO()
            np.save(file, np.zeros(size, np.uint8))
            archive.writestr(f"a{number}.npy", file.getvalue())
    return path


@pytest.mark.parametrize(("members", "size"), [(1, 1 << 27), (20, 1 << 22)])
def test_archives_of_zeros_are_not_unpacked(tmp_path: Path, members: int, size: int) -> None:
    with pytest.raises(ValueError, match="more than 200 times its size"):
        arrays.read_arrays(_zeros(tmp_path / "x.npz", members, size))


def test_small_archives_of_zeros_are_read(tmp_path: Path) -> None:
    assert arrays.read_arrays(_zeros(tmp_path / "x.npz", 2, 1 << 20))["a1"].shape == (1 << 20,)


LONG = "x" * 1_000_000


def _texts(file: h5py.File) -> None:
    """Names that all stand where the first does."""
    del file["name"]
    file.create_dataset("name", data=[LONG] + ["a"] * 4000, dtype=h5py.string_dtype())


def _reasons(file: h5py.File) -> None:
    kind = np.dtype([("name", h5py.string_dtype()), ("reason", h5py.string_dtype())])
    del file["excluded"]
    file.create_dataset("excluded", data=np.array([(LONG, LONG)] + [("a", "a")] * 2000, kind), dtype=kind)


def _classes(file: h5py.File) -> None:
    file.attrs.create("class_names", np.array([LONG] + ["a"] * 2000, object), dtype=h5py.string_dtype())


def _of_a_dataset(file: h5py.File) -> None:
    file["gaps"].attrs.create("x", np.array([LONG] + ["a"] * 2000, object), dtype=h5py.string_dtype())


@pytest.mark.parametrize("change", [_texts, _reasons, _classes, _of_a_dataset])
def test_texts_that_share_a_place_are_not_copied_each_time(
    tmp_path: Path, change: Callable[[h5py.File], None]
) -> None:
    path = tmp_path / "x.h5"
    path.write_bytes(_h5_seed())
    with h5py.File(path, "r+") as file:
        change(file)
        where = "name" if change is _texts else "excluded" if change is _reasons else None
        place = file[where].id.get_offset() if where else None
    data = bytearray(path.read_bytes())
    if place is not None:
        for at in range(place + 16, place + 16 * 4000, 16):
            data[at : at + 16] = data[place : place + 16]
        path.write_bytes(data)
    with pytest.raises(DataError, match=r"texts of more bytes than the file|texts in a file with one of"):
        ClipFile(path)


def test_what_a_file_calls_its_format_is_one_text(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.attrs.create("format", np.array([LONG] * 3, object), dtype=h5py.string_dtype())
    assert kinds.tell(tmp_path / "x.h5") is kinds.Kind.HDF5


NUMBERS = {"layers": 2, "heads": 8, "head_hidden": 8, "embedding": 8}


@pytest.mark.parametrize(
    "content",
    [
        {"hidden": 12_000, **NUMBERS},
        {"hidden": 8, **NUMBERS, "head_hidden": 10**9},
        {"hidden": 10**6, **NUMBERS, "layers": 10**9},
        {"blocks": np.full((8, 4), 4096), "subsets": 64, **NUMBERS},
    ],
)
def test_numbers_of_a_reference_file_reserve_no_memory(tmp_path: Path, content: dict[str, object]) -> None:
    np.savez(tmp_path / "x.npz", **{f"hparams/{key}": np.array(value) for key, value in content.items()})
    result = CliRunner().invoke(main, ["selfcheck", str(tmp_path / "x.npz")])
    assert result.exit_code == 2, result.output
    assert "ask for a model of" in result.stderr, result.stderr


def test_a_message_is_short_whatever_a_key_in_it_is(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("k" * 800_000 + " = 1\n")
    for message in (
        str(FormatError("x" * 100_000, "wrong")),
        str(SkeltoolsError("y" * 800_000)),
        CliRunner().invoke(main, ["skeletons", str(tmp_path / "x.toml")]).stderr,
    ):
        assert len(message) < 5000
        assert "characters ..." in message
