"""What does `robust` cost, pass by pass, and where does the time go?

The clean test clips and every corruption at every severity pass the encoder of a run once each, as `skeltools eval
RUN --protocol robust` has it; nothing is recorded. Seconds by the clock depend on what else the machine does, seconds
of the processor hardly do: these by the number of cores are the least that those can be.

    skeltools eval runs/joint --protocol linear
    python benchmarks/robust.py runs/joint --threads 1 --json robust.json
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from skeltools.environment import device_name, pick_device
from skeltools.protocols.robust import Robust, RobustSettings
from skeltools.protocols.running import subjects
from skeltools.protocols.running.task import Task
from skeltools.runs.folder import Run
from skeltools.store import ClipFile


def main() -> None:
    """Time the protocol and print the breakdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a run with a record of linear")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, default=128, help="clips per pass")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--json", type=Path, help="where the figures go too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    run, device = Run.open(options.run), pick_device(options.device)
    protocol = Robust()
    with ClipFile(run.data) as file:
        context = {"dataset": file.dataset.name, "split": run.split, "stream": run.stream}
        use: RobustSettings = protocol.resolve(context, None, options.overrides).values
        subject = subjects.from_run(run, "pretrained", run.seed)
        task = Task(
            file, run.split, run.stream, subject, run.seed, device, batch_size=options.batch,
            results_dir=run.results_dir,
        )  # fmt: skip
        reason = protocol.skip(task, use)
        if reason is not None:
            parser.error(reason)
        began, busy = time.perf_counter(), time.process_time()
        (outcome,) = protocol.run(task, use)
        wall, processor = time.perf_counter() - began, time.process_time() - busy
        clips, form = len(task.test_rows), file.form
    watch, passes = protocol.spent, len(outcome.metrics)
    assert watch is not None
    rest = {
        kind: whole - sum(parts.values())
        for kind, whole, parts in (("wall", wall, watch.wall), ("processor", processor, watch.processor))
    }
    rows = [
        (what, watch.wall[what], watch.processor[what]) for what in watch.wall
    ] + [("salience and the rest", rest["wall"], rest["processor"]), ("all", wall, processor)]  # fmt: skip
    print(
        f"{passes} passes of {clips} clips ({form.frames} frames, {form.joints} joints, {form.bodies} bodies), "
        f"{run.settings.model.backbone} of width {run.settings.model.width}, {run.stream}; {device_name(device)}, "
        f"{options.threads} threads, torch {torch.__version__}"
    )
    print("| what | s by the clock | s of the processor | ms of the processor per pass |")
    print("| --- | ---: | ---: | ---: |")
    for what, clock, cpu in rows:
        print(f"| {what} | {clock:.1f} | {cpu:.1f} | {1000 * cpu / passes:.1f} |")
    if options.json:
        told = {
            "run": str(options.run), "passes": passes, "clips": clips, "threads": options.threads,
            "device": device_name(device), "torch": torch.__version__,
            "rows": [{"what": what, "wall_s": clock, "processor_s": cpu} for what, clock, cpu in rows],
        }  # fmt: skip
        options.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
