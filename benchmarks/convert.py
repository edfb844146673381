"""How fast is ``skeltools convert``, and how much memory does it take?

Makes synthetic NTU clips with `skeltools.synth`, as large as the dataset's (260 KB), and multiplies them by
hard links under official names. Each measurement runs in a fresh process, after a small conversion that
loads the compiled parser, so start-up is left out for one worker and part of the time for several.

    python benchmarks/convert.py --clips 2000 --workers 1 --workers 2
    python benchmarks/convert.py --clips 56880 --workers 2 --kinds folder
    python benchmarks/convert.py --clips 400 --workers 1 --kinds folder --parsers compiled plain --repeat 5

CPU time counts all processes and, unlike the clock, not what other programs take from them. The plain parser is what
an installation without Numba has.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from clips import link_clips, make_distinct

_MEASURE = """
import json, os, resource, sys, time
from pathlib import Path
from skeltools.convert.pipeline import convert
from skeltools.datasets import registry as datasets
from skeltools.formats import backend
if __name__ == "__main__":
    warm, source, out, workers, parser = sys.argv[1:]
    backend.COMPILE_FROM = 1 if parser == "compiled" else sys.maxsize
    if parser == "compiled" and not backend.available():
        sys.exit("Numba is not installed. Install it, or give --parsers plain.")
    convert(datasets.get("ntu120"), warm, out + ".warm")
    began, busy = time.perf_counter(), sum(os.times()[:4])
    summary = convert(datasets.get("ntu120"), source, out, workers=int(workers))
    spent, cpu = time.perf_counter() - began, sum(os.times()[:4]) - busy
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak = max(resource.getrusage(one).ru_maxrss / 1024 for one in who)
    print(json.dumps({"clips": summary.clips, "seconds": spent, "cpu": cpu, "peak_mb": peak}))
"""


def make_source(folder: Path, clips: int, distinct: int) -> tuple[Path, Path, float]:
    """Return a folder of `clips` files, one of a single clip for the warm-up, and the mean size in bytes."""
    files = make_distinct(folder / "synthetic", distinct)
    source, warm = folder / "clips", folder / "warm"
    link_clips(files, source, clips)
    warm.mkdir()
    os.link(files[0], warm / "S001C001P001R001A001.skeleton")
    size = sum(file.stat().st_size for file in files) / len(files)
    return source, warm, size


def archive(folder: Path, kind: str, source: Path) -> Path:
    """Pack the clips as the official archives are: deflated, under one folder."""
    path = folder / f"clips.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for file in sorted(source.iterdir()):
                packed.write(file, f"nturgb+d_skeletons/{file.name}")
    else:
        import py7zr

        with py7zr.SevenZipFile(path, "w") as packed:
            packed.writeall(source, "nturgb+d_skeletons")
    return path


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--clips", type=int, default=2000)
    options.add_argument(
        "--distinct", type=int, default=100, help="clips that are really made; the rest are links"
    )
    options.add_argument("--workers", type=int, action="append")
    options.add_argument("--kinds", nargs="+", choices=["folder", "zip", "7z"], default=["folder", "zip"])
    options.add_argument("--parsers", nargs="+", choices=["compiled", "plain"], default=["compiled"])
    options.add_argument("--repeat", type=int, default=3, help="runs of each; the median counts")
    options.add_argument("--json", action="store_true")
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        source, warm, size = make_source(folder, arguments.clips, min(arguments.distinct, arguments.clips))
        rows = []
        for kind in arguments.kinds:
            path = source if kind == "folder" else archive(folder, kind, source)
            for workers in arguments.workers or [1, 2]:
                runs: dict[str, list[dict[str, float]]] = {parser: [] for parser in arguments.parsers}
                for _ in range(arguments.repeat):  # in turn, since a machine's speed varies
                    for parser, found in runs.items():
                        found.append(measure(warm, path, folder / "out.h5", workers, parser))
                for parser, found in runs.items():
                    middle = sorted(found, key=lambda run: run["seconds"])[len(found) // 2]
                    middle["cpu"] = statistics.median(run["cpu"] for run in found)
                    about = {"kind": kind, "workers": workers, "parser": parser, "file_kb": size / 1000}
                    rows.append(about | middle)
    if arguments.json:
        print(json.dumps(rows))
        return
    print(f"{arguments.clips:,} clips, {size / 1000:.0f} KB per file on average, {os.cpu_count()} cores")
    print(
        "| source | workers | parser | clips/s | ms per clip | CPU ms per clip | peak memory per process, MB |"
    )
    print("| --- | ---: | --- | ---: | ---: | ---: | ---: |")
    for row in rows:
        rate = row["clips"] / row["seconds"]
        print(
            f"| {row['kind']} | {row['workers']} | {row['parser']} | {rate:,.0f} | {1000 / rate:.2f} "
            f"| {1000 * row['cpu'] / row['clips']:.2f} | {row['peak_mb']:.0f} |"
        )


def measure(warm: Path, source: Path, out: Path, workers: int, parser: str) -> dict[str, float]:
    """Convert in a fresh process and return clips, seconds and the largest process's peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "measure.py"
        script.write_text(_MEASURE)
        arguments = [str(script), str(warm), str(source), str(out), str(workers), parser]
        done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    for path in (out, Path(f"{out}.warm")):
        path.unlink(missing_ok=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()
