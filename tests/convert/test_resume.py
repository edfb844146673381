"""Workers, interruption and resuming: the same bytes in every dataset, whatever happens on the way."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import h5py
import pytest
from clipfiles import content
from rawfiles import write_ntu, write_pku

from skeltools.convert import pipeline as conversion
from skeltools.convert.pipeline import Summary, convert
from skeltools.convert.plan import make_plan
from skeltools.datasets import registry as datasets
from skeltools.errors import FormatError, OutputError
from skeltools.formats.entries import Entry
from skeltools.preparation.chain import choose
from skeltools.processes import WorkerError
from skeltools.processes import run as run_pool
from skeltools.store import ClipFile
from skeltools.store.spool import Done, Results, UnitResult, folder_of
from skeltools.store.writer import room_in_front

NTU = datasets.get("ntu60")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred clips, one of them incomplete and two empty."""
    folder = tmp_path_factory.mktemp("resume") / "raw"
    for number in range(100):
        write_ntu(folder, f"S001C001P{number:03d}R001A{1 + number % 60:03d}", number, frames=10 + number % 7)
    write_ntu(folder, "S001C002P005R002A008")
    for name in ("S001C001P050R002A001", "S002C001P050R002A001"):
        (folder / f"{name}.skeleton").write_bytes(b"0\n")
    return folder


@pytest.fixture(scope="module")
def whole(folder: Path) -> dict[str, object]:
    """What an undisturbed conversion gives, raw recordings included."""
    convert(NTU, folder, folder.parent / "whole.h5", keep_raw=True)
    return content(folder.parent / "whole.h5")


@pytest.fixture(scope="module")
def complete(folder: Path) -> Path:
    """The clips of `folder` that are converted, none of which is left out: their file becomes the output."""
    source = folder.parent / "complete"
    source.mkdir()
    for path in folder.iterdir():
        if path.stat().st_size > 10 and path.stem != "S001C002P005R002A008":
            os.link(path, source / path.name)
    return source


@pytest.fixture(scope="module")
def copied(complete: Path) -> dict[str, object]:
    """What is got when the clips are copied into the output, as on a disk without second names for a file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, "write_around", lambda *_: False)
        convert(NTU, complete, complete.parent / "copied.h5")
    return content(complete.parent / "copied.h5")


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "_BATCH_CLIPS", 3)
    monkeypatch.setattr(conversion, "_WORKER_BYTES", 1)


def test_workers_do_not_change_a_byte(folder: Path, whole: dict[str, object], tmp_path: Path) -> None:
    convert(NTU, folder, tmp_path / "o.h5", workers=2, keep_raw=True)
    assert content(tmp_path / "o.h5") == whole
    assert [path.name for path in tmp_path.iterdir()] == ["o.h5"]


def test_the_first_damaged_file_is_reported_whoever_finds_it(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "raw"
    source.mkdir()
    for path in folder.iterdir():
        os.link(path, source / path.name)
    for name in ("S001C001P020R001A021", "S001C001P023R001A024", "S001C001P090R001A031"):
        path = source / f"{name}.skeleton"
        path.unlink()
        path.write_bytes(b"3\n1\n")
    with pytest.raises(FormatError, match="S001C001P020R001A021"):
        convert(NTU, source, tmp_path / "o.h5", workers=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".o.h5.partial", "raw"]
    summary = convert(NTU, source, tmp_path / "o.h5", workers=2, skip_damaged=True, resume=True)
    assert summary.clips == 97
    assert summary.excluded == {"damaged": 3, "empty": 2, "incomplete": 1}
    with ClipFile(tmp_path / "o.h5") as file:
        assert (
            "S001C001P090R001A031",
            "damaged: S001C001P090R001A031.skeleton, line 2: the file ends here, in frame 1 of 3; it is "
            "truncated. Fetch it again.",
        ) in file.excluded


def interrupted(source: Path, out: Path, batches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Convert, and press Ctrl-C when some batches are done."""

    class Interrupting:
        def start(self, label: str, total: int | None, unit: str = "clips") -> None: ...
        def status(self, **values: float | str) -> None: ...
        def finish(self) -> None: ...

        def message(self, text: str) -> None:
            said.append(text)

        def advance(self, done: int = 1) -> None:
            nonlocal batches
            batches -= 1
            if batches == 0:
                raise KeyboardInterrupt

    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        convert(NTU, source, out, keep_raw=True, progress=Interrupting())
    assert said[-1].startswith("Interrupted with ")
    assert said[-1].endswith("Run the same command with --resume to continue.")


@pytest.mark.parametrize("batches", [1, 12, 34])
def test_resuming_after_ctrl_c(
    folder: Path, whole: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    out = tmp_path / "o.h5"
    interrupted(folder, out, batches, monkeypatch)
    assert not out.exists()
    assert folder_of(out).is_dir()
    with pytest.raises(OutputError) as caught:
        convert(NTU, folder, out, keep_raw=True)
    assert str(caught.value) == (
        f"A conversion to {out} was interrupted. Use --resume to continue it or --replace to start over."
    )
    convert(NTU, folder, out, keep_raw=True, resume=True)
    assert content(out) == whole
    assert not folder_of(out).exists()


def test_source_and_output_may_have_moved_when_it_goes_on(
    folder: Path, whole: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as with the folder of a plan, and another working folder or spelling of the path is no other source."""
    shutil.copytree(folder, tmp_path / "a" / "raw")
    interrupted(tmp_path / "a" / "raw", tmp_path / "a" / "o.h5", 20, monkeypatch)
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "b" / "raw").rename(tmp_path / "b" / "elsewhere")
    monkeypatch.chdir(tmp_path / "b")
    read: list[str] = []
    reading = Entry.read
    monkeypatch.setattr(Entry, "read", lambda entry: read.append(entry.name) or reading(entry))
    convert(NTU, Path("elsewhere"), Path("o.h5"), keep_raw=True, resume=True)
    assert 0 < len(read) < 60
    assert content(tmp_path / "b" / "o.h5") == whole


@pytest.mark.parametrize("damage", ["torn line", "lost clips", "lost raw", "lost header"])
def test_resuming_trusts_only_what_is_whole(
    folder: Path, whole: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    out = tmp_path / "o.h5"
    interrupted(folder, out, 20, monkeypatch)
    partial = folder_of(out)
    if damage == "torn line":
        journal = partial / "journal"
        journal.write_bytes(journal.read_bytes()[:-17])
    elif damage == "lost clips":
        clips = bytearray((partial / "clips").read_bytes())
        clips[100_000:200_000] = bytes(100_000)
        (partial / "clips").write_bytes(clips)
    elif damage == "lost raw":
        with (partial / "raw.0").open("r+b") as file:
            file.truncate(50_000)
    else:
        (partial / "header.json").unlink()
    convert(NTU, folder, out, keep_raw=True, resume=True)
    assert content(out) == whole


def test_interrupted_while_the_output_is_written(
    folder: Path, whole: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "o.h5"

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("skeltools.store.writer._reserve", stop)
        with pytest.raises(KeyboardInterrupt):
            convert(NTU, folder, out, keep_raw=True)
    assert [path.name for path in tmp_path.iterdir()] == [folder_of(out).name]
    convert(NTU, folder, out, keep_raw=True, resume=True)
    assert content(out) == whole


@pytest.mark.parametrize("workers", [1, 2])
def test_clips_become_the_output_without_a_copy(
    complete: Path, copied: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    out = tmp_path / "o.h5"
    monkeypatch.setattr(conversion, "write_file", None)  # which would copy
    convert(NTU, complete, out, workers=workers)
    assert content(out) == copied
    assert [path.name for path in tmp_path.iterdir()] == ["o.h5"]
    assert out.stat().st_nlink == 1
    with h5py.File(out) as file:
        assert file["clips"].id.get_offset() == room_in_front(97)


@pytest.mark.parametrize("why", ["no second names", "no room"])
def test_clips_are_copied_where_they_cannot_become_the_output(
    complete: Path, copied: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    if why == "no room":
        monkeypatch.setattr(conversion, "room_in_front", lambda clips: 4096)
    else:
        monkeypatch.setattr(os, "link", refuse)
    convert(NTU, complete, tmp_path / "o.h5")
    assert content(tmp_path / "o.h5") == copied
    assert [path.name for path in tmp_path.iterdir()] == ["o.h5"]


@pytest.mark.parametrize("step", ["_write_small", "_reserve", "replacing", "flush", "after"])
def test_interrupted_while_the_clips_become_the_output(
    complete: Path, copied: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    out = tmp_path / "o.h5"

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    where = {"flush": "skeltools.files.writing._flush", "after": "skeltools.store.spool.Spool.remove"}
    with monkeypatch.context() as patch:
        patch.setattr(where.get(step, f"skeltools.store.writer.{step}"), stop)
        with pytest.raises(KeyboardInterrupt):
            convert(NTU, complete, out)
    assert out.exists() == (step == "after")
    assert folder_of(out).is_dir()
    convert(NTU, complete, out, resume=True)
    assert content(out) == copied
    assert [path.name for path in tmp_path.iterdir()] == ["o.h5"]
    assert out.stat().st_nlink == 1


def test_resuming_with_other_settings_or_sources_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "o.h5"
    interrupted(folder, out, 3, monkeypatch)
    with pytest.raises(OutputError) as caught:
        convert(NTU, folder, out, keep_raw=True, resume=True, frames=50)
    assert str(caught.value) == (
        f"The interrupted conversion in {folder_of(out)} was begun with different settings. "
        "Use --replace to start over."
    )
    write_ntu(tmp_path / "other", "S001C001P001R001A001")
    with pytest.raises(OutputError, match="was begun with different source"):
        convert(NTU, tmp_path / "other", out, keep_raw=True, resume=True)
    assert folder_of(out).is_dir()
    assert convert(NTU, tmp_path / "other", out, replace=True).clips == 1


def test_resuming_finished_work_does_nothing(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.h5"
    first = convert(NTU, folder, out)
    before = out.stat()
    again = convert(NTU, folder, out, resume=True)
    assert isinstance(again, Summary)
    assert again == first
    assert out.stat().st_mtime_ns == before.st_mtime_ns
    with pytest.raises(OutputError) as caught:
        convert(NTU, folder, out, resume=True, frames=50)
    assert str(caught.value) == (
        f"{out} is finished, but with a different chain.frames. Use --replace to rebuild it."
    )


def test_two_conversions_to_one_output(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fcntl", reason="file locks need a POSIX system")
    out = tmp_path / "o.h5"
    interrupted(folder, out, 3, monkeypatch)
    import fcntl

    with (folder_of(out) / "journal").open("a+b") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        with pytest.raises(OutputError, match="Another process is converting into"):
            convert(NTU, folder, out, keep_raw=True, resume=True)


def test_pku_with_workers_and_raw(tmp_path: Path) -> None:
    source = write_pku(tmp_path / "raw")
    for workers in (1, 2):
        convert(datasets.get("pku2"), source, tmp_path / f"{workers}.h5", workers=workers, keep_raw=True)
    assert content(tmp_path / "1.h5") == content(tmp_path / "2.h5")


class Killing:
    """The program of killing.py, asked in order."""

    def __init__(self, source: Path, raw: bool) -> None:
        self._order = {"source": str(source), "raw": raw}
        words = [sys.executable, str(Path(__file__).parents[1] / "killing.py")]
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )

    def __enter__(self) -> Killing:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            self._process.kill()

    def convert(self, out: Path, workers: int = 1, step: int = 0, batch: int = 0) -> dict[str, int]:
        """Convert or go on with that, in a process that kills itself at that step or that finished batch."""
        where = {"out": str(out), "workers": workers, "step": step, "batch": batch}
        return self._answer(self._order | where)

    def rest(self) -> None:
        """Wait until the workers of killed processes have ended."""
        self._answer("rest")

    def _answer(self, order: object) -> dict[str, int]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(order), file=self._process.stdin, flush=True)
        answer: dict[str, int] = json.loads(self._process.stdout.readline())
        return answer


def copied_to(path: Path, out: Path) -> Path:
    """Copy an output and the folder of its conversion, so far as they are there."""
    if path.exists():
        shutil.copyfile(path, out)
    if folder_of(path).exists():
        shutil.copytree(folder_of(path), folder_of(out))
    return out


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork and kill -9 need a POSIX system")
@pytest.mark.slow
@pytest.mark.parametrize("raw", [True, False])
def test_killed_at_twenty_random_moments(request: pytest.FixtureRequest, tmp_path: Path, raw: bool) -> None:
    """A moment is one of the steps that the rest of the conversion takes: counted in a copy, then drawn.

    With two workers, whose steps come in any order, it is one of the batches that the rest takes.

    So all twenty meet the command running, on every machine, and every state is gone on with twice.
    """
    source: Path = request.getfixturevalue("folder" if raw else "complete")
    wanted: dict[str, object] = request.getfixturevalue("whole" if raw else "copied")
    moments = random.Random(5)
    with Killing(source, raw) as killing:
        for attempt in range(5):
            out = tmp_path / f"{attempt}.h5"
            for kill in range(4):
                copy = copied_to(out, tmp_path / f"{attempt}.{kill}.h5")
                rest = killing.convert(copy)
                assert rest["status"] == 0
                assert content(copy) == wanted
                if kill == 3 and rest["batches"]:
                    moment = {"workers": 2, "batch": moments.randint(1, rest["batches"])}
                else:
                    moment = {"step": moments.randint(1, rest["steps"])}
                assert killing.convert(out, **moment)["status"] == -signal.SIGKILL, moment
                if out.exists():
                    assert content(out) == wanted
            convert(NTU, source, out, keep_raw=raw, resume=True)  # beside what is left of killed workers
            assert content(out) == wanted
            killing.rest()
            assert content(out) == wanted
            assert not [path for path in tmp_path.iterdir() if path.name.endswith(".partial")]


def double(offset: int) -> object:
    return lambda batch: offset + 2 * batch if batch != 13 else os._exit(3)


def test_a_worker_that_dies_is_reported() -> None:
    assert sorted(run_pool(range(8), double, (1,), 2)) == [1, 3, 5, 7, 9, 11, 13, 15]
    with pytest.raises(WorkerError) as caught:
        list(run_pool(range(20), double, (1,), 2))
    assert str(caught.value) == (
        "A worker process ended unexpectedly (exit status 3); was memory short? "
        "Try again with fewer --workers."
    )


class Early:
    """A number whose arrival in a new process is met by Ctrl-C, before the process does any work."""

    def __reduce__(self) -> object:
        return _signalled, ()


def _signalled() -> int:
    os.kill(os.getpid(), signal.SIGINT)
    return 1


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals are POSIX")
def test_a_signal_to_a_worker_that_just_starts_ends_nothing() -> None:
    """A terminal sends it to every process of a command; the main one decides what comes of it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert sorted(run_pool(range(4), double, (Early(),), 2)) == [1, 3, 5, 7]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_a_journal_that_was_damaged_costs_no_more_than_its_files(
    folder: Path, whole: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines that name no file there is, or no digest: what they speak of is done again."""
    out = tmp_path / "o.h5"

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device", str(out))

    with monkeypatch.context() as patch:
        patch.setattr(conversion, "write_file", fail)
        with pytest.raises(OSError, match="No space"):
            convert(NTU, folder, out, keep_raw=True)
    journal = folder_of(out) / "journal"
    lines = journal.read_bytes().splitlines()
    batches = [json.loads(line) for line in lines]
    batches[0][0][0] = 10**6
    batches[1][0][1] = "no digest"
    journal.write_bytes(b"".join(json.dumps(batch).encode() + b"\n" for batch in batches))
    convert(NTU, folder, out, keep_raw=True, resume=True)
    assert content(out) == whole


def test_what_a_conversion_keeps_of_a_clip_is_small() -> None:
    """Plan and results of N clips in memory: 114,480 of them must not take a quarter of a gigabyte."""
    names = [f"S{s:03d}C001P{p:03d}R001A{a:03d}" for s in (1, 2) for p in range(1, 21) for a in range(1, 61)]
    tracemalloc.start()
    try:
        entries = [
            Entry(
                f"a/folder/with/clips/{name}.skeleton",
                f"{name}.skeleton",
                10**6 + number,
                "clips",
                10**18 + number,
            )
            for number, name in enumerate(names)
        ]
        plan = make_plan(NTU, entries, "clips", choose().values)
        del entries
        results = Results(len(plan.units), len(plan.names), raw=False)
        for number in range(len(plan.names)):
            fate = Done(number, 10**6 + number, 300, 1, 0, f"{number:064x}")
            results.add(UnitResult(number, f"{number:064x}", (fate,)))
        assert tracemalloc.get_traced_memory()[0] / len(plan.names) < 800
    finally:
        tracemalloc.stop()
    assert (results.count, len(plan.units)) == (len(plan.names),) * 2
    assert results.digests[9].tobytes().hex() == f"{9:064x}"


def test_a_script_without_a_guard_is_told_what_it_lacks(tmp_path: Path) -> None:
    """Workers import the script that started them; one that converts at its top level would start workers again."""
    raw = tmp_path / "raw"
    for number in range(1, 5):
        write_ntu(raw, f"S001C001P001R001A{number:03d}", frames=20)
    script = tmp_path / "mine.py"
    script.write_text(
        "import skeltools\nfrom skeltools.convert import pipeline\n"
        "pipeline._WORKER_BYTES = 1  # so that a few files are enough for two workers\n"
        'skeltools.convert("ntu60", "raw", "out.h5", workers=2)\n'
    )
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "skeltools.processes.WorkerError: A worker process ended with an error of Python, which is above. In a script "
        "of your own, put what calls skeltools under if __name__ == '__main__': or give workers=1."
    )
    assert not (tmp_path / "out.h5").exists()
