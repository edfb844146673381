"""Does a file larger than memory train and evaluate? One epoch and a linear evaluation under ``ulimit -v``.

Runs the real commands through the streaming path, each with less address space than the file is large, and
prints time and peaks. `benchmarks/scale.py --keep` leaves such a file.

    python benchmarks/scale.py work/ --clips 114480 --keep
    python benchmarks/bounded.py work/ntu120-114480.h5 work/bounded --limit-mib 2048
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from clips import Cost, measured

COMMAND = [sys.executable, "-m", "skeltools"]


def bounded(command: list[str], limit_mib: int) -> Cost:
    """Run a command, and all that it starts, with so much address space each."""
    return measured(["bash", "-c", f'ulimit -v {limit_mib * 1024}; exec "$@"', "bash", *command])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="a converted file, larger than the limit")
    parser.add_argument("folder", type=Path, help="where the run goes; replaced")
    parser.add_argument("--split", default="xsub")
    parser.add_argument("--limit-mib", type=int, default=2048, help="address space of a process, MiB")
    parser.add_argument("--recipe", default="demo-bigru", help="what is pretrained")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    options = parser.parse_args()
    size = options.file.stat().st_size
    if size <= options.limit_mib << 20:
        parser.error(f"{options.file} has {size >> 20} MiB, no more than the limit; nothing would be shown")
    shutil.rmtree(options.folder, ignore_errors=True)
    options.folder.mkdir(parents=True)
    run = options.folder / "run"
    pretrain = [
        *COMMAND, "pretrain", str(options.file), "--split", options.split, "--stream", "joint",
        "--recipe", options.recipe, "--epochs", "1", "--batch-size", "128", "--workers", "1",
        "--device", "cpu", "--out", str(run), "--set", "train.feed=stream",
        "--set", "queue.size=4096", "--set", "monitor.every=0",
    ]  # fmt: skip
    evaluate = [
        *COMMAND, "eval", str(run), "--protocol", "linear", "--epochs", "3", "--device", "cpu",
        "--out", str(options.folder / "results"),
    ]  # fmt: skip
    rows = []
    for name, command in (("pretrain, one epoch", pretrain), ("eval, linear", evaluate)):
        cost = bounded(command, options.limit_mib)
        rows.append(
            {
                "step": name, "seconds": cost.seconds, "main_mib": cost.main_mib,
                "worker_mib": cost.worker_mib, "space_mib": cost.space_mib,
                "file_mib": size / 2**20, "limit_mib": options.limit_mib,
            }
        )  # fmt: skip
        print(f"{name}: {cost.seconds:.0f} s", file=sys.stderr, flush=True)
    print(f"{size / 2**20:,.0f} MiB of clips, {options.limit_mib:,} MiB of address space a process")
    print("| step | time, s | peak MiB, main process | peak MiB, the reader | address space, largest, MiB |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for row in rows:
        reader = f"{row['worker_mib']:.0f}" if row["worker_mib"] else "-"
        cells = [row["step"], f"{row['seconds']:.0f}", f"{row['main_mib']:.0f}", reader]
        print(f"| {' | '.join(map(str, cells))} | {row['space_mib']:.0f} |")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
