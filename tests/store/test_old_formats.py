"""Files and runs of every format version, kept in fixtures/formats, still open and give the same results."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from skeltools.cli.main import main
from skeltools.results import record as results
from skeltools.runs import checkpoint
from skeltools.runs import folder as runs
from skeltools.store import ClipFile, layout

FORMATS = Path(__file__).parents[1] / "fixtures" / "formats"
CLIPS = sorted(path.name.removesuffix(".gz") for path in FORMATS.glob("clips-*.h5.gz"))
RUNS = sorted(path.stem for path in FORMATS.glob("run-*.zip"))
RESUMED = sorted(path.stem for path in FORMATS.glob("resume-*.zip"))
REMEDY = "make one with 'python tests/fixtures/make_formats.py' and keep the old ones"


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("formats")
    for name in CLIPS:
        (folder / name).write_bytes(gzip.decompress((FORMATS / f"{name}.gz").read_bytes()))
    for name in (*RUNS, *RESUMED):
        shutil.unpack_archive(FORMATS / f"{name}.zip", folder / name)
    return folder


def test_the_versions_of_the_code_have_fixtures() -> None:
    newest = f"clips-{layout.VERSION}.h5"
    assert newest in CLIPS, f"no converted file of version {layout.VERSION}; {REMEDY}"
    run = f"run-{runs.VERSION}-checkpoint-{checkpoint.VERSION}-record-{results.RECORD_VERSION}"
    assert run in RUNS, f"no {run}; {REMEDY}"
    resume = f"resume-{runs.VERSION}-checkpoint-{checkpoint.VERSION}"
    assert resume in RESUMED, f"no {resume}; {REMEDY}"


@pytest.mark.parametrize("name", CLIPS)
def test_names_say_the_version_of_a_converted_file(unpacked: Path, name: str) -> None:
    with ClipFile(unpacked / name) as file:
        assert file.attrs["format_version"] == int(name.removeprefix("clips-").removesuffix(".h5"))


@pytest.mark.parametrize("name", RUNS)
def test_names_say_the_versions_of_a_run(unpacked: Path, name: str) -> None:
    _, run, _, point, _, record = name.split("-")
    assert json.loads((unpacked / name / "run.json").read_text())["version"] == int(run)
    for path in checkpoint.paths(unpacked / name / "checkpoints"):
        assert torch.load(path, weights_only=True)["version"] == int(point)
    records = list((unpacked / name / "results").glob("*.json"))
    assert len(records) == 2
    assert all(json.loads(path.read_text())["version"] == int(record) for path in records)


@pytest.mark.parametrize("name", CLIPS)
def test_a_converted_file_opens_and_verifies(unpacked: Path, tmp_path: Path, name: str) -> None:
    call("verify", unpacked / name)
    call("inspect", unpacked / name)
    with ClipFile(unpacked / name) as file:
        assert (len(file), file.frames, file.dataset.name) == (10, 16, "ntu60")
        before = file.digest
    call("derive", unpacked / name, tmp_path / "again.h5", "--frames", "16", "--dtype", "float16")
    with ClipFile(tmp_path / "again.h5") as file:
        assert file.digest == before


def test_a_file_written_now_keeps_what_the_version_promises(unpacked: Path, tmp_path: Path) -> None:
    """Datasets and attributes may be added to a version; what is there keeps its name and type."""
    call(
        "derive",
        unpacked / f"clips-{layout.VERSION}.h5",
        tmp_path / "now.h5",
        "--frames",
        "16",
        "--dtype",
        "float16",
    )
    kept, now = contents(unpacked / f"clips-{layout.VERSION}.h5"), contents(tmp_path / "now.h5")
    now |= {name: kind for name, kind in kept.items() if name.startswith(("raw", "subsets"))}
    assert {name: now.get(name) for name in kept} == kept


def contents(path: Path) -> dict[str, str]:
    """Types of datasets, and of root attributes, by name."""
    found: dict[str, str] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: str(getattr(item, "dtype", "group"))}))
        return found | {f"@{name}": type(value).__name__ for name, value in file.attrs.items()}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_opens_and_gives_the_same_features(unpacked: Path, tmp_path: Path, name: str) -> None:
    call("features", unpacked / name, unpacked / CLIPS[0], "--out", tmp_path / "f.npz", "--device", "cpu")
    with np.load(tmp_path / "f.npz") as found:
        np.testing.assert_allclose(
            found["features"], np.load(unpacked / name / "features.npy"), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("name", RUNS)
def test_records_are_reported_and_evaluation_gives_them_again(
    unpacked: Path, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / name
    shutil.copytree(unpacked / name, folder)
    call("report", folder)
    (old,) = (record for record in results.read_all(folder / "results") if record.protocol == "knn")
    shutil.rmtree(folder / "results")
    call("eval", folder, "--protocol", "knn", "--data", unpacked / CLIPS[0], "--set", "knn.k=[1]", "--quiet",
         "--device", "cpu")  # fmt: skip
    (new,) = results.read_all(folder / "results")
    assert (new.top1, new.top5, new.test_clips, new.key) == (old.top1, old.top5, old.test_clips, old.key)


@pytest.mark.parametrize("name", RESUMED)
@pytest.mark.parametrize("how", ["by its folder", "by its command"])
def test_an_interrupted_run_goes_on_to_what_its_own_program_gave(
    unpacked: Path, tmp_path: Path, name: str, how: str
) -> None:
    """Two checkpoints are kept, of one epoch each: without the second, it is made again."""
    folder = tmp_path / name
    shutil.copytree(unpacked / name, folder)
    first, second = checkpoint.paths(folder / "checkpoints")
    old = checkpoint.load(second)
    second.unlink()
    log = (folder / "log.jsonl").read_text().splitlines()
    (folder / "log.jsonl").write_text("".join(f"{line}\n" for line in log[:2]))
    note = json.loads((folder / "run.json").read_text())
    note["data"] = str(unpacked / CLIPS[0])
    (folder / "run.json").write_text(json.dumps(note))
    if how == "by its folder":
        call("pretrain", "--resume", folder, "--device", "cpu")
    else:
        words = note["command"].split()[3:]
        words[words.index("--out") + 1] = str(folder)
        call("pretrain", note["data"], *words, "--resume")
    assert [path.name for path in checkpoint.paths(folder / "checkpoints")] == [first.name, second.name]
    new = checkpoint.load(second)
    assert (new.epoch, new.step) == (old.epoch, old.step) == (2, 2)
    assert new.model.keys() == old.model.keys()
    for key, value in old.model.items():
        # A bias in front of batch norm has no gradient but rounding, which AdamW makes a whole step of.
        if not key.endswith(("temporal.bias", "shortcut.conv.bias")):
            torch.testing.assert_close(new.model[key], value, rtol=1e-3, atol=1e-4, msg=key)
    losses = [
        json.loads(line)["loss"] for line in (log[2], (folder / "log.jsonl").read_text().splitlines()[2])
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert losses[1] != json.loads(log[0])["loss"]
