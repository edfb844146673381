"""What a whole dataset costs: time, memory and disk of converting, verifying and streaming N clips.

Makes synthetic NTU-120 clips, multiplies them by hard links under official names and runs the real commands
on them, each in a process of its own. Example:

    python benchmarks/scale.py work/ --clips 28620 --clips 114480
    python benchmarks/scale.py work/ --clips 114480 --keep   # leaves work/ntu120-114480.h5
    python benchmarks/scale.py work/ --frames 4 6 --prepared 4 --only-convert   # memory alone, in minutes
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from clips import Cost, link_clips, make_distinct, measured

COMMAND = [sys.executable, "-m", "skeltools"]
BATCH = 128


def read(path: Path, how: str, workers: int) -> int:
    """Read every training clip of xsub once in random order; return how many there were."""
    import torch

    from skeltools.clips import ClipDataset
    from skeltools.store import ClipFile
    from skeltools.training.feed import make_feed

    if how == "ClipDataset":
        data = ClipDataset(path, "xsub")
        loader = torch.utils.data.DataLoader(data, batch_size=BATCH, shuffle=True, num_workers=workers)
        return sum(len(labels) for _, labels in loader)
    with ClipFile(path) as file:
        rows = file.rows("xsub", "train")
        feed = make_feed(file, rows, torch.device("cpu"), "stream", workers)
        places = torch.randperm(len(rows))[: len(rows) // BATCH * BATCH].view(-1, BATCH)
        return sum(len(clips) for _, clips in feed.batches(places))


def measure(folder: Path, files: list[Path], count: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Convert, verify and read `count` clips; return one row per step."""
    workers = str(options.workers)
    source, out = folder / f"clips-{count}", folder / f"ntu120-{count}.h5"
    link_clips(files, source, count)
    rows = []

    def note(step: str, cost: Cost, clips: int) -> None:
        rows.append(
            {
                "clips": count, "step": step, "seconds": cost.seconds,
                "ms_a_clip": 1e3 * cost.seconds / clips, "main_mib": cost.main_mib,
                "worker_mib": cost.worker_mib, "file_bytes": out.stat().st_size,
            }
        )  # fmt: skip
        print(f"{count:,} clips, {step}: {cost.seconds:.0f} s", file=sys.stderr, flush=True)

    convert = ["convert", "ntu120", str(source), str(out), "--workers", workers, "--json"]
    note("convert", measured([*COMMAND, *convert, "--frames", str(options.prepared)]), count)
    shutil.rmtree(source)
    if not options.only_convert:
        note("verify", measured([*COMMAND, "verify", str(out)]), count)
        for how in ("ClipDataset", "training feed"):
            again = [sys.executable, __file__, str(out), "--read", how, "--workers", workers]
            cost = measured(again)
            note(how, cost, int(cost.output))
    if not options.keep:
        out.unlink()
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    """Print the table."""
    print("| clips | step | time, s | ms per clip | peak MiB, main process | peak MiB, a worker | file, GB |")
    print("| ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    for row in rows:
        cells = [
            f"{row['clips']:,}", row["step"], f"{row['seconds']:.0f}", f"{row['ms_a_clip']:.2f}",
            f"{row['main_mib']:.0f}", f"{row['worker_mib']:.0f}" if row["worker_mib"] else "-",
            f"{row['file_bytes'] / 1e9:.2f}",
        ]  # fmt: skip
        print(f"| {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder for the clips and files, made if missing")
    parser.add_argument("--clips", type=int, action="append", help="a size; repeatable  [28620 and 114480]")
    parser.add_argument("--distinct", type=int, default=2000, help="clips really made; the rest are links")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--frames", type=int, nargs=2, default=(70, 90), help="length of the raw clips")
    parser.add_argument("--prepared", type=int, default=64, help="frames of a prepared clip")
    parser.add_argument("--only-convert", action="store_true", help="leave out verifying and reading")
    parser.add_argument("--keep", action="store_true", help="keep the converted files")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    parser.add_argument("--read", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        print(read(options.folder, options.read, options.workers))
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    raw = options.folder / "-".join(map(str, ("distinct", options.distinct, *options.frames)))
    began = time.perf_counter()
    files = sorted(raw.rglob("*.skeleton")) or make_distinct(raw, options.distinct, options.frames)
    size = sum(file.stat().st_size for file in files) / len(files)
    print(
        f"{len(files):,} files of {size / 1e3:.0f} KB, {time.perf_counter() - began:.0f} s", file=sys.stderr
    )
    rows: list[dict[str, Any]] = []
    for count in options.clips or [28620, 114480]:
        rows += measure(options.folder, files, count, options)
    show(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
