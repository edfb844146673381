"""``skeltools reproduce``: a whole table from one plan."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skeltools.cli import _options as options
from skeltools.errors import counted

if TYPE_CHECKING:
    from skeltools.reproduce.plan import Plan
    from skeltools.reproduce.schedule import State
    from skeltools.reproduce.steps import Ledger, Place, Step
    from skeltools.reproduce.together import Team


@click.command()
@click.argument("plan", metavar="PLAN")
@click.argument("sources", metavar="[NAME=SOURCE]...", nargs=-1)
@click.option("--out", type=options.PATH, required=True, help="Folder that everything goes to.")
@click.option(
    "--only",
    multiple=True,
    metavar="FACT=VALUE,...",
    help="Do only the steps with this step, data, recipe, split, stream, seed, protocol or subject; repeatable.",
)
@click.option(
    "--devices",
    default="auto",
    show_default=True,
    metavar="LIST",
    help="Devices, such as cuda:0,cuda:1; each is at one run.",
)
@options.workers
@click.option("--dry-run", is_flag=True, help="Print what there is to do, with an estimate, and do nothing.")
@click.option(
    "--slurm",
    type=options.PATH,
    default=None,
    metavar="JOBS.SH",
    help="Write a script of job arrays for SLURM, one task for each run, and do nothing else.",
)
@click.option(
    "--part", default=None, metavar="PART", help="Do one task of that script: data:N, run:N or report."
)
def command(
    plan: str,
    sources: tuple[str, ...],
    out: Path,
    only: tuple[str, ...],
    devices: str,
    workers: int,
    dry_run: bool,
    slurm: Path | None,
    part: str | None,
) -> None:
    """Make a whole table from one plan.

    PLAN is paper-ntu60, paper-ntu120, paper-pku2, nwucla, nwucla-stgcn or quick, or a .toml file of yours. It is
    converted, verified, pretrained, evaluated and reported, and the page is written. What is recorded is left out:
    give the same command again after any interruption. A step that fails does not stop the others; the next call
    tries it again. SOURCE is a folder, an archive or raw file, or a converted file (.h5); where a plan has one
    dataset, its name may be left out. The sources are known from the first call on. Under torchrun all processes, of
    one machine or of several that share the folder, are at one run.

    \b
    Example:
      skeltools reproduce quick --out quick/
      skeltools reproduce paper-ntu60 nturgbd_skeletons_s001_to_s017.zip --out ntu60/ --dry-run
      skeltools reproduce paper-ntu60 nturgbd_skeletons_s001_to_s017.zip --out ntu60/ --devices cuda:0,cuda:1
      skeltools reproduce paper-ntu60 --out ntu60/ --only stream=joint --only protocol=linear,knn
      torchrun --nproc-per-node 4 -m skeltools reproduce paper-ntu60 --out ntu60/
      skeltools reproduce paper-pku2 ntu60=ntu60.h5 pku1=PKUMMD/ pku2=PKUMMDv2/ --out pku2/ --slurm jobs.sh
    """
    from skeltools.environment import pick_device
    from skeltools.errors import SettingError
    from skeltools.reproduce import plan as plans
    from skeltools.reproduce import together

    options.check_used(not dry_run, "with --dry-run", "--slurm")
    options.check_used(
        slurm is None, "with --slurm, which starts nothing", "--devices", "--workers", "--part"
    )
    found = plans.read(plan)
    words = [word.strip() for word in devices.split(",") if word.strip()]
    devices_found = [str(pick_device(word)) for word in words]
    if not words or (len(set(devices_found)) < len(words) and "cpu" not in devices_found):
        raise SettingError(f"--devices takes a list such as cuda:0,cuda:1, each once, not '{devices}'.")
    told = shlex.join(["skeltools", *sys.argv[1:]])
    wish = _Wish(found, sources, out, only, devices_found, workers, dry_run, slurm, part, told)
    if not together.asked():
        _do(wish)
        return
    if len(words) > 1 or ":" in devices:
        raise SettingError(
            f"Under torchrun each process has a device of its own, so --devices takes cuda or cpu, not '{devices}'."
        )
    with together.gathered(devices_found[0], told) as team:
        if team.is_main:
            _do(wish, team)
        else:
            status = team.follow()
            if status:
                raise click.exceptions.Exit(status)


@dataclass(frozen=True)
class _Wish:
    """What was asked for; see `command`."""

    plan: Plan
    sources: tuple[str, ...]
    out: Path
    only: tuple[str, ...]
    devices: list[str]
    workers: int
    dry_run: bool
    slurm: Path | None
    part: str | None
    told: str


def _do(wish: _Wish, team: Team | None = None) -> None:
    """Do it, together with other processes where there are some."""
    from skeltools.cli._board import board
    from skeltools.cli._console import err
    from skeltools.cli._console import out as stdout
    from skeltools.reproduce import schedule, together
    from skeltools.reproduce import steps as planning

    found, out = wish.plan, wish.out
    sources = _sources(found, wish.sources)
    place = planning.opened(out, found, sources, write=False)
    every = planning.steps(found, place)
    chosen = planning.only(every, wish.only)
    if wish.part is not None:
        chosen = _part(chosen, wish.part)
    if not wish.dry_run:
        planning.opened(out, found, sources)
    ledger = planning.Ledger(every, place)
    if wish.dry_run:
        _estimate(found, chosen, place, ledger, wish.devices)
        return
    if wish.slurm is not None:
        from skeltools.reproduce import slurm as cluster

        cluster.write(wish.slurm, found, chosen, out, wish.only)
        stdout().print(
            f"{wish.slurm}: submit it with: bash {shlex.quote(str(wish.slurm))}", markup=False, soft_wrap=True
        )
        return
    with schedule.alone(out if wish.part is None else None), board() as watcher:
        about: Any = {"devices": wish.devices, "workers": wish.workers, "watcher": watcher}
        scheduler = (
            schedule.Scheduler(chosen, ledger, command=wish.told, **about)
            if team is None
            else together.Together(chosen, team, ledger=ledger, **about)
        )
        watcher.begin(list(scheduler.states.values()))
        try:
            states = scheduler.run()
        except KeyboardInterrupt:
            watcher.end()
            err().print(f"Interrupted. Go on with the same command: {wish.told}", markup=False)
            raise
    _end(out, states)


def _sources(plan: Plan, words: tuple[str, ...]) -> dict[str, list[Path]]:
    """Return the sources by the name of the data."""
    from skeltools.errors import SettingError

    asked = [name for name, data in plan.data.items() if not data.synthetic]
    found: dict[str, list[Path]] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not equals or (name not in plan.data and Path(word).exists()):
            if len(asked) != 1:
                raise SettingError(
                    f"Plan {plan.name} has {len(asked)} sources to give, so '{word}' needs its name: NAME={word}"
                    if asked
                    else f"Plan {plan.name} makes its own data. Leave '{word}' out."
                )
            name, path = asked[0], word
        found.setdefault(name, []).append(Path(path))
    return found


def _part(chosen: list[Step], part: str) -> list[Step]:
    """Return the steps of one task of a cluster."""
    from skeltools.errors import SettingError, did_you_mean
    from skeltools.reproduce import steps as planning

    there = planning.parts(chosen)
    if part not in there:
        raise SettingError(f"--part {part}: the plan has {', '.join(there)}.{did_you_mean(part, there)}")
    return there[part]


def _estimate(plan: Plan, chosen: list[Step], place: Place, ledger: Ledger, devices: list[str]) -> None:
    """Print what there is to do and what it will cost."""
    import torch

    from skeltools.cli import _show as show
    from skeltools.environment import device_name
    from skeltools.reproduce import estimate
    from skeltools.results.tables import Grid

    device = torch.device(devices[0])
    costs = estimate.estimate(plan, chosen, place, ledger, device)
    columns = [
        ("step", False), ("clips", True), ("GFLOP", True), ("hours", True), ("disk", True),
    ]  # fmt: skip
    grid = Grid([f"{plan.title}: {counted(len(chosen), 'step')}"], columns)
    part = ""
    for cost in costs:
        new, part = cost.step.part != part, cost.step.part
        if cost.done:
            grid.add([cost.step.name, "done", "", "", ""], new_section=new)
            continue
        grid.add([cost.step.name, *_words(cost.clips, cost.flop, cost.seconds, cost.disk)], new_section=new)
    known = [cost.seconds for cost in costs if cost.seconds is not None]
    disk = sum(cost.disk for cost in costs)
    total = _words(sum(c.clips for c in costs), sum(c.flop for c in costs), sum(known), disk)
    grid.add(["all", *total], new_section=True)
    grid.notes = [
        "clips: passes through the encoder; GFLOP: 10^9 floating-point operations, a product and a sum are two",
        f"hours: at the speed measured now in the recipe's encoder on {device_name(device)}, float32; reading, "
        "conversion, page and classifiers on features are not in them",
        f"disk: {_bytes(disk)}, of which {_bytes(estimate.free_disk(place.root))} are free at {place.root}",
    ]
    if len(devices) > 1:
        grid.notes.append(
            f"{counted(len(devices), 'device')}: {sum(known) / 3600 / len(devices):,.2f} hours at best"
        )
    show.grids([grid])


def _words(clips: int, flop: float, seconds: float | None, disk: int) -> list[str]:
    return [
        f"{clips:,}" if clips else "-",
        f"{flop / 1e9:,.0f}" if flop else "-",
        "-" if seconds is None else f"{seconds / 3600:,.2f}",
        _bytes(disk) if disk else "-",
    ]


def _bytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"


def _end(out: Path, states: list[State]) -> None:
    """Say how it ended."""
    from skeltools.cli import _show as show
    from skeltools.cli._console import err
    from skeltools.cli._console import out as stdout
    from skeltools.errors import counted
    from skeltools.reproduce import schedule
    from skeltools.results import record as results

    wrong = [state for state in states if state.state in (schedule.FAILED, schedule.BLOCKED)]
    report = next((state for state in states if state.step.kind == "report"), None)
    if report is not None and report.state in (schedule.DONE, schedule.RECORDED):
        show.records(results.read_folders([out / "runs"]))
        stdout().print(
            f"\n{out / 'report.html'}: the page. Beside it: report and paper as .md, .tex and .csv, and records.json.",
            markup=False,
            soft_wrap=True,
        )
    for state in wrong:
        err().print(f"{state.step.name}: {state.state}: {state.problem}", markup=False, soft_wrap=True)
    if wrong:
        failed = sum(state.state == schedule.FAILED for state in wrong)
        blocked = len(wrong) - failed
        so = f", so {counted(blocked, 'further step')} could not begin" if blocked else ""
        err().print(f"{counted(failed, 'step')} failed{so}. The same command tries them again.", markup=False)
        raise click.exceptions.Exit(1)
