"""Results that two groups exchange: records in one small file, with digests, and what is not the same behind them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from skeltools.errors import OutputError, RunError
from skeltools.files.kinds import Kind
from skeltools.files.texts import other_version, read_json
from skeltools.files.writing import check_output, write_text
from skeltools.results import record as results
from skeltools.results.record import Record

FORMAT = "skeltools results"
VERSION = 1


def bundle(records: Sequence[Record]) -> str:
    """Return records as the text of a file to give away.

    Scores stay at home, and so do the folders in which things lie: of a path the last part is kept.
    """
    entries = []
    for record in records:
        plain = replace(record, encoder=_last(record.encoder), data=_last(record.data), scores="")
        content = plain.content()
        entries.append({"digest": _digest(content), "record": content})
    whole = {"format": FORMAT, "version": VERSION, "records": entries}
    return json.dumps(whole, indent=1, allow_nan=False) + "\n"


def _last(path: str) -> str:
    return path if ":" in path else path.replace("\\", "/").rpartition("/")[2]


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> dict[str, Any]:
    """Return the table that such a file holds.

    Raises:
        RunError: It is no such file, or of another version.
    """
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is not a readable file of results: {error}.") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise RunError(
            f"{path} is not a file of results. Make one: skeltools results export RUN --out results.json"
        )
    if content.get("version") != VERSION:
        raise RunError(f"{path} {other_version(content, VERSION)}")
    return content


def check_target(path: Path, replace: bool) -> None:
    """Check that such a file can be written to `path`; another file of JSON there, such as a run's, is not replaced.

    Raises:
        OutputError: It cannot.
    """
    check_output(path, replace, kinds=(Kind.JSON,))
    if path.exists() and path.stat().st_size:
        try:
            _read(path)
        except RunError:
            raise OutputError(
                f"{path} is a JSON file that is not of results, so it is not replaced. Choose another --out."
            ) from None


def unpack(path: Path, out: Path) -> list[Record]:
    """Write the records of such a file into the results folder of `out`, and return them.

    Raises:
        OutputError: There are results in `out` already.
        RunError: It is no such file, or one of its records was changed after it was written.
    """
    entries = _read(path).get("records")
    if not isinstance(entries, list) or not entries:
        raise RunError(f"{path} holds no record.")
    for place, entry in enumerate(entries, start=1):
        found = entry.get("record") if isinstance(entry, dict) else None
        if not isinstance(found, dict) or entry.get("digest") != _digest(found):
            raise RunError(
                f"{path}: record {place} was changed after it was written. Ask for the file again."
            )
    folder = out / "results"
    if out.exists() and any(out.iterdir()):
        raise OutputError(f"{out} exists and is not empty. Choose another --out.")
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    try:
        for place, entry in enumerate(entries, start=1):
            at = folder / f"{place:04}.json"
            write_text(at, json.dumps(entry["record"], indent=2) + "\n", tidy=False)
            made.append(at)
        return [results.read(at) for at in made]
    except RunError as error:
        for at in made:
            at.unlink(missing_ok=True)
        folder.rmdir()
        out.rmdir()
        raise RunError(f"{path}: {str(error).replace(str(folder), 'its record')}") from None


def differences(mine: Sequence[Record], theirs: Sequence[Record]) -> list[str]:
    """Return, a sentence each, what is not the same behind results of one protocol, split and stream.

    Seeds, encoders and the settings of pretraining are what results are compared in, and may differ.

    Args:
        mine: One's own records.
        theirs: Other people's.
    """
    own = _by_experiment(mine)
    said: dict[str, list[str]] = {}
    lonely = []
    for name, records in _by_experiment(theirs).items():
        if name not in own:
            lonely.append(name)
            continue
        for what in dict.fromkeys(_unlike(own[name][0], records[0])):
            said.setdefault(what, []).append(name)
    found = [f"{what}: {', '.join(names)}" for what, names in said.items()]
    return found + ([f"nothing of one's own to compare with: {', '.join(lonely)}"] if lonely else [])


def _by_experiment(records: Sequence[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        name = f"{record.dataset} {record.split} {record.stream} {record.experiment}, {record.subject}"
        found.setdefault(name, []).append(record)
    return found


def _unlike(mine: Record, theirs: Record) -> Iterator[str]:
    if mine.data_digest != theirs.data_digest:
        yield f"other clips (content digest {mine.data_digest[:12]}, theirs {theirs.data_digest[:12]})"
    pairs: list[tuple[str, Any, Any]] = [
        (name, getattr(mine, name), getattr(theirs, name))
        for name in ("train_clips", "test_clips", "limit", "frames", "code_version")
    ]
    for own, other in ((mine.preparation, theirs.preparation), (mine.settings, theirs.settings)):
        pairs += [(key, own.get(key), other.get(key)) for key in sorted(own.keys() | other.keys())]
    for name, own_value, other_value in pairs:
        if own_value != other_value:
            yield f"{name} {own_value}, theirs {other_value}"
