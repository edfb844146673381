"""Archives and lists of files give what a folder gives; what is wrong with an archive is one clear line."""

from __future__ import annotations

import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from rawfiles import write_ntu, write_pku

from skeltools.convert.pipeline import convert
from skeltools.datasets import registry as datasets
from skeltools.errors import FormatError, SkeltoolsError, SourceError
from skeltools.formats.seven_zip import stream
from skeltools.formats.sources import list_entries
from skeltools.store import ClipFile

NAMES = ["S001C001P001R001A001", "S001C002P002R001A002", "S002C003P003R002A003", "S003C001P001R001A004"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        write_ntu(tmp_path / "raw" / str(number % 2), name, number)
    return tmp_path / "raw"


def zipped(folder: Path, path: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted(folder.rglob("*"), reverse=True):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
        archive.writestr("__MACOSX/._S001C001P001R001A001.skeleton", b"junk")
    return path


def seven_zipped(folder: Path, path: Path) -> Path:
    py7zr = pytest.importorskip("py7zr", reason="py7zr (extra 'archives') is not installed")
    with py7zr.SevenZipFile(path, "w") as archive:
        archive.writeall(folder, "data")
    return path


def datasets_of(path: Path) -> dict[str, bytes]:
    """The bytes of every dataset of a file, and its attributes."""
    found = {}
    with h5py.File(path) as file:

        def keep(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset):
                values = item[:]
                found[name] = repr(values.tolist()).encode() if values.dtype.hasobject else values.tobytes()

        file.visititems(keep)
        found["attributes"] = repr(sorted((key, str(value)) for key, value in file.attrs.items())).encode()
    return found


@pytest.mark.parametrize("kind", ["zip", "stored zip", "7z", "files", "list", "two zips"])
def test_every_kind_of_source_gives_the_same_datasets(folder: Path, tmp_path: Path, kind: str) -> None:
    files = sorted(folder.rglob("*.skeleton"))
    sources: list[Path]
    if kind == "7z":
        sources = [seven_zipped(folder, tmp_path / "a.7z")]
    elif kind == "files":
        sources = files[::-1]
    elif kind == "list":
        (tmp_path / "names.txt").write_text("\n".join(map(str, files)) + "\n")
        sources = [Path(f"@{tmp_path / 'names.txt'}")]
    elif kind == "two zips":
        sources = [zipped(folder / part, tmp_path / f"{part}.zip") for part in ("1", "0")]
    else:
        method = zipfile.ZIP_STORED if kind == "stored zip" else zipfile.ZIP_DEFLATED
        sources = [zipped(folder, tmp_path / "a.zip", method)]
    convert(datasets.get("ntu60"), folder, tmp_path / "folder.h5")
    convert(datasets.get("ntu60"), sources, tmp_path / "other.h5")
    assert datasets_of(tmp_path / "folder.h5") == datasets_of(tmp_path / "other.h5")


@pytest.mark.parametrize("kind", ["zip", "7z", "parts"])
def test_pku_archives(tmp_path: Path, kind: str) -> None:
    raw = write_pku(tmp_path / "raw")
    pack = zipped if kind == "zip" else seven_zipped
    sources = [pack(raw, tmp_path / f"a.{kind}")]
    if kind == "parts":  # as distributed: an archive per kind of file, whose name says which
        sources = [
            zipped(raw / "skeleton", tmp_path / "PKU_Skeleton_Renew.zip"),
            seven_zipped(raw / "label", tmp_path / "Train_Label_PKU_final.7z"),
            raw / "split" / "cross_subject_v2.txt",
            raw / "split" / "cross_view_v2.txt",
        ]
    convert(datasets.get("pku2"), raw, tmp_path / "folder.h5")
    convert(datasets.get("pku2"), sources, tmp_path / "other.h5")
    assert datasets_of(tmp_path / "folder.h5") == datasets_of(tmp_path / "other.h5")


@pytest.mark.parametrize("reference", ["real/ntu", "reference/ntu_edge"])
@pytest.mark.parametrize("kind", ["folder", "zip", "7z", "list", "files"])
def test_goldens_through_every_kind(shared: Path, tmp_path: Path, reference: str, kind: str) -> None:
    expected = np.load(
        shared / "reference" / ("ntu_samples.npz" if reference == "real/ntu" else "ntu_edge/expected.npz")
    )
    source = shared / reference
    files = sorted(source.glob("*.skeleton"), reverse=True)
    sources = files
    if kind == "folder":
        sources = [source]
    elif kind == "list":
        (tmp_path / "names.txt").write_text("\n".join(map(str, files)))
        sources = [Path(f"@{tmp_path / 'names.txt'}")]
    elif kind != "files":
        sources = [(zipped if kind == "zip" else seven_zipped)(source, tmp_path / f"a.{kind}")]
    convert(datasets.get("ntu60"), sources, tmp_path / "o.h5")
    with ClipFile(tmp_path / "o.h5") as file:
        assert file.names
        clips = [name for name, reason in file.excluded if not reason.startswith("other: ")]
        assert len(file.names) + len(clips) == len(files)
        for row, name in enumerate(file.names):
            np.testing.assert_allclose(file.clips([row])[0], expected[f"{name}/position64"], atol=1e-5)


@pytest.mark.parametrize("kind", ["folder", "zip", "7z"])
def test_the_pku_golden_through_every_kind(shared: Path, tmp_path: Path, kind: str) -> None:
    source = shared / "reference" / "pku_sample"
    expected = np.load(source / "expected.npz")
    raw = tmp_path / "raw"
    for part in ("skeleton", "label"):
        (raw / part).mkdir(parents=True)
        for path in (source / part).glob("*.txt"):
            (raw / part / path.name).write_bytes(path.read_bytes())
    sources = (
        raw if kind == "folder" else (zipped if kind == "zip" else seven_zipped)(raw, tmp_path / f"a.{kind}")
    )
    convert(datasets.get("pku2"), sources, tmp_path / "o.h5")
    with ClipFile(tmp_path / "o.h5") as file:
        assert len(file.names) == 4
        for row, clip in enumerate(file.clips()):
            assert file.labels[row] == expected[f"{row}/label"] - 1
            np.testing.assert_allclose(clip, expected[f"{row}/position64"], atol=1e-5)


def test_duplicates_across_sources_keep_the_first(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_ntu(other, NAMES[0], seed=99)
    summary = convert(datasets.get("ntu60"), [other, folder], tmp_path / "o.h5")
    assert summary.excluded == {"duplicate": 1}
    with ClipFile(tmp_path / "o.h5") as file:
        assert file.excluded == [
            (NAMES[0], f"duplicate: 0/{NAMES[0]}.skeleton, kept {NAMES[0]}.skeleton, other content")
        ]


def refused(sources: list[Path], tmp_path: Path) -> SkeltoolsError:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SkeltoolsError) as caught:
        convert(datasets.get("ntu60"), sources, tmp_path / "o.h5")
    assert sorted(tmp_path.iterdir()) == before
    return caught.value


def test_a_file_that_is_no_archive(tmp_path: Path) -> None:
    pytest.importorskip("py7zr", reason="py7zr (extra 'archives') is not installed")
    for name in ("a.zip", "a.7z"):
        path = tmp_path / name
        path.write_bytes(b"no archive at all")
        error = refused([path], tmp_path)
        assert isinstance(error, SourceError)
        assert str(error).startswith(
            f"{path} is not a {'zip' if name == 'a.zip' else '.7z'} archive, or it is damaged ("
        )


def test_a_cut_off_zip(folder: Path, tmp_path: Path) -> None:
    path = zipped(folder, tmp_path / "a.zip")
    path.write_bytes(path.read_bytes()[:-200])
    assert str(refused([path], tmp_path)).startswith(f"{path} is not a zip archive, or it is damaged (")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_damage_inside_a_zip(folder: Path, tmp_path: Path, method: int) -> None:
    path = zipped(folder, tmp_path / "a.zip", method)
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(f"0/{NAMES[0]}.skeleton")
    content = bytearray(path.read_bytes())
    content[member.header_offset + 200] ^= 0xFF
    path.write_bytes(content)
    error = refused([path], tmp_path)
    assert isinstance(error, FormatError)
    assert str(error) == f"{path}/0/{NAMES[0]}.skeleton: the archive is damaged here. Fetch it again."


def test_damage_inside_a_7z(folder: Path, tmp_path: Path) -> None:
    path = seven_zipped(folder, tmp_path / "a.7z")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    assert str(refused([path], tmp_path)).startswith(f"{path} is not a .7z archive, or it is damaged (")


@pytest.mark.parametrize("name", ["../x.skeleton", "/etc/x.skeleton", "a/../../x.skeleton", "C:\\x.skeleton"])
def test_members_that_lead_out_of_the_archive(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"1")
    error = refused([path], tmp_path)
    assert isinstance(error, FormatError)
    assert str(error).endswith(": a member's path leads out of the archive; it is refused.")


def test_an_encrypted_member(folder: Path, tmp_path: Path) -> None:
    path = zipped(folder, tmp_path / "a.zip")
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir  # type: ignore[attr-defined]
    content[start + 8] |= 1  # the encryption flag of the first member in the central directory
    path.write_bytes(content)
    assert str(refused([path], tmp_path)).endswith("the member is encrypted. Unpack the archive first.")


def test_an_encrypted_7z(folder: Path, tmp_path: Path) -> None:
    py7zr = pytest.importorskip("py7zr", reason="py7zr (extra 'archives') is not installed")
    path = tmp_path / "a.7z"
    with py7zr.SevenZipFile(path, "w", password="secret") as archive:
        archive.writeall(folder, "data")
    assert str(refused([path], tmp_path)) == f"{path} is encrypted. Unpack it and give the folder."


def test_other_compression_and_gigantic_members(folder: Path, tmp_path: Path) -> None:
    path = zipped(folder, tmp_path / "a.zip", zipfile.ZIP_LZMA)
    assert str(refused([path], tmp_path)).endswith(
        "compression 'lzma' is not read. Unpack the archive first."
    )
    content = bytearray(zipped(folder, path).read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir  # type: ignore[attr-defined]
    content[start + 24 : start + 28] = (1 << 31).to_bytes(4, "little")
    path.write_bytes(content)
    assert str(refused([path], tmp_path)).endswith("2,147,483,648 bytes are too many for a raw file.")


def test_an_empty_zip_and_a_missing_list(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    zipfile.ZipFile(path, "w").close()
    assert str(refused([path], tmp_path)) == f"{path} is empty. Give the archive that holds the raw files."
    names = tmp_path / "names.txt"
    assert str(refused([Path(f"@{names}")], tmp_path)) == (
        f"{names} does not exist. Give a text file with one path per line after @."
    )
    names.write_text(f"\n{tmp_path / 'gone.skeleton'}\n")
    assert (
        str(refused([Path(f"@{names}")], tmp_path))
        == f"{names}, line 2: {tmp_path / 'gone.skeleton'} is not a file."
    )
    names.write_text("\n")
    assert str(refused([Path(f"@{names}")], tmp_path)) == f"{names} lists no file."


def test_without_py7zr_the_message_says_what_to_install(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    path = tmp_path / "a.7z"
    path.write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "py7zr", None)
    assert str(refused([path], tmp_path)) == (
        f"{path} is a .7z archive, which needs py7zr: pip install py7zr. Or unpack it and give the folder."
    )


def test_a_reader_that_stops_early_ends_the_decompressing_thread(folder: Path, tmp_path: Path) -> None:
    import threading

    entries = list_entries([seven_zipped(folder, tmp_path / "a.7z")])
    before = set(threading.enumerate())
    reading = stream(entries)
    next(reading)
    reading.close()
    assert set(threading.enumerate()) <= before
