"""Options that several commands share, each declared once."""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from skeltools.cli import _complete as complete
from skeltools.errors import did_you_mean
from skeltools.files.cores import cores
from skeltools.settings import MOST_SEED

F = TypeVar("F", bound=Callable[..., Any])

SEED = click.IntRange(0, MOST_SEED)
"""Type of every option that takes a seed."""


class FiniteRange(click.FloatRange):
    """A number within bounds: click's own type, which also takes nan, and inf where a side is open."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class _Path(click.Path):
    """A path: click's own type, which takes the empty text that an unset variable leaves as the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not os.fspath(value):
            self.fail("it is empty. Give a path; '.' is the folder you are in.", param, ctx)
        return super().convert(value, param, ctx)


PATH = _Path(path_type=Path)
"""Type of every argument and option that takes a path."""

RESULT = _Path()
"""Type of an argument that takes a path as text, for words that may go with it, such as RUN@ID."""


class Choice(click.Choice[str]):
    """One of some words: click's own type, which says of a wrong one what may have been meant."""

    def __init__(self, choices: Sequence[str], other: Mapping[str, str] | None = None) -> None:
        """Take the words, and sentences for wrong ones whose meaning is known, in lower case.

        A sentence is said only by a command that has the options which it names.
        """
        super().__init__(choices)
        self.other = other or {}

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        problem = super().get_invalid_choice_message(value, ctx)
        told = self.other.get(str(value).lower(), "")
        there = {name for one in ctx.command.params for name in one.opts} if ctx is not None else set()
        if told:
            return f"{problem} {told}" if {*re.findall(r"--[a-z]+", told)} <= there else problem
        return f"{problem}{did_you_mean(str(value), self.choices)}"


_UNTRAINED = "The untrained encoder is --init random."
_SUBJECTS = {name: f"That is --baseline {name}." for name in ("standardised", "raw", "supervised")}

INITS = Choice(
    ["pretrained", "random"],
    _SUBJECTS | {"standardized": _SUBJECTS["standardised"], "scratch": _SUBJECTS["supervised"]}
    | dict.fromkeys(("untrained", "none"), _UNTRAINED),
)  # fmt: skip
"""Type of ``--init``."""

BASELINES = Choice(
    list(_SUBJECTS),
    dict.fromkeys(("random", "untrained", "none", "init"), _UNTRAINED)
    | {"pretrained": "The pretrained encoder is not a baseline: leave --baseline out."}
    | {"scratch": _SUBJECTS["supervised"], "finetune": _SUBJECTS["supervised"]},
)
"""Type of ``--baseline``."""


def workers(function: F) -> F:
    """Add ``--workers``: number of processes, all cores unless given."""
    return click.option(
        "--workers",
        type=click.IntRange(min=1),
        default=None,
        callback=lambda context, parameter, value: value or cores(),
        help="Worker processes.  [default: all cores]",
    )(function)


def replace(function: F) -> F:
    """Add ``--replace``: rebuild an existing output."""
    return click.option("--replace", is_flag=True, help="Rebuild the output if it exists.")(function)


def dry_run(function: F) -> F:
    """Add ``--dry-run``."""
    return click.option(
        "--dry-run",
        is_flag=True,
        help="Check everything and print what would be done, with an estimate; write nothing.",
    )(function)


def seed(function: F) -> F:
    """Add ``--seed``."""
    option = click.option(
        "--seed", type=SEED, default=0, show_default=True, help="Seed of every random draw."
    )
    return option(function)


def _tell_twice(
    context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> tuple[str, ...]:
    """Say of a setting that is given with two values which one is taken."""
    from skeltools.cli._console import err
    from skeltools.settings import parse_override

    found: dict[str, object] = {}
    for text in texts:
        key, value = parse_override(text)
        if found.get(key, value) != value and not context.resilient_parsing:
            err().print(
                f"--set {key} is given as {found[key]} and again as {value}, which is taken.",
                markup=False, soft_wrap=True,
            )  # fmt: skip
        found[key] = value
    return texts


def settings(function: F) -> F:
    """Add ``--set key=value`` (repeatable), handed over as ``overrides``."""
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        callback=_tell_twice,
        metavar="KEY=VALUE",
        shell_complete=complete.settings,
        help="Override one setting; repeatable.",
    )(function)


def preparation(function: F) -> F:
    """Add what says how clips are prepared: ``--prep``, ``--frames``, ``--dtype`` and ``--set``."""
    prep = click.option(
        "--prep",
        metavar="NAME",
        shell_complete=complete.preparations,
        help="Preparation: skeattnclr, aimclr, ctrgcn, cmd, anyskeleton, keypoints2d, or a TOML file.  [default: "
        "skeattnclr; of other skeletons than Kinect v2 anyskeleton, of 2-D key points keypoints2d]",
    )
    frames = click.option(
        "--frames", type=click.IntRange(min=1), help="Frames per clip.  [default: the preparation's]"
    )
    dtype = click.option(
        "--dtype",
        type=Choice(["float32", "float16"]),
        help="Type of the stored coordinates.  [default: float32]",
    )
    return prep(frames(dtype(settings(function))))


def unit(function: F) -> F:
    """Add ``--unit``: what the coordinates of a source are in."""
    return click.option(
        "--unit",
        type=Choice(["m", "cm", "mm"]),
        default="m",
        show_default=True,
        help="Unit of the source's coordinates, which are stored in metres.",
    )(function)


def mismatch(function: F) -> F:
    """Add ``--allow-mismatch``, handed over as ``allow_mismatch``."""
    return click.option(
        "--allow-mismatch", is_flag=True, help="Take clips of another length or preparation than the run's."
    )(function)


def data(function: F) -> F:
    """Add ``--data``: the converted file to use instead of the run's own."""
    return click.option(
        "--data",
        type=PATH,
        default=None,
        help="Converted file.  [default: the run's own]",
    )(function)


def check_order(first: str, one: object, second: str, two: object, *, swapped: bool) -> None:
    """Say so where two arguments are in each other's place.

    Args:
        first: What the first argument is called.
        one: What was given for it.
        second: What the second is called.
        two: What was given for it.
        swapped: Whether each is what the other should be.

    Raises:
        SettingError: They are swapped.
    """
    from skeltools.errors import SettingError

    if swapped:
        raise SettingError(f"{first} and {second} are swapped: give {two} first, then {one}.")


def check_used(used: bool, why: str, *names: str) -> None:
    """Refuse options that were given and would change nothing.

    Args:
        used: Whether they have an effect.
        why: When they have none, such as ``without --window``.
        names: The options, such as ``--stride``.

    Raises:
        UsageError: One was given on the command line and has no effect.
    """
    context = click.get_current_context()
    for param in () if used else context.command.params:
        given = context.get_parameter_source(param.name or "") is click.core.ParameterSource.COMMANDLINE
        named = [name for name in names if name in param.opts]
        if given and named:
            raise click.UsageError(f"{named[0]} has no effect {why}. Leave it out.")


def check_dataset_first(dataset: str, name: str, path: Path) -> None:
    """Say so where the name of a dataset, or a descriptor, is in the place of a path, and the path in its place.

    Args:
        dataset: What was given for the dataset.
        name: What the other argument is called.
        path: What was given for it.

    Raises:
        SettingError: They are swapped.
    """
    from skeltools.datasets.registry import registry

    other = str(path) in registry() or path.suffix == ".toml"
    swapped = other and dataset not in registry() and not dataset.endswith(".toml")
    check_order("DATASET", dataset, name, path, swapped=swapped)


def check_run_first(run: Path, file: Path) -> None:
    """Say so where a converted file is in the place of a run, and the run in its place.

    Raises:
        SettingError: They are swapped.
    """
    check_order("RUN", run, "FILE", file, swapped=run.is_file() and (file / "run.json").is_file())


def result(function: F) -> F:
    """Add what chooses a recorded result: ``--protocol`` and what narrows it down, handed over as ``choice``."""
    return _choosing("", function)


def result_of(protocol: str) -> Callable[[F], F]:
    """Add what chooses a recorded result of one protocol, handed over as ``choice``."""
    return functools.partial(_choosing, protocol)


def _choosing(protocol: str, function: F) -> F:
    for option in (
        click.option(
            "--set", "settings", multiple=True, metavar="KEY=VALUE",
            help="A setting of the protocol or the pretraining that it was made with; repeatable.",
        ),
        click.option(
            "--limit", type=click.IntRange(min=1), metavar="N",
            help="A partial result, of 'eval --limit N'.  [default: whole ones, where there are any]",
        ),
        click.option("--epoch", type=click.IntRange(min=0), help="Pretraining epochs.  [default: the only ones]"),
        click.option(
            "--split", default=None, shell_complete=complete.splits, help="Split.  [default: the only one]"
        ),
        click.option(
            "--data", default=None, metavar="FILE",
            help="Converted file: path, name or the beginning of its content digest.  [default: the only one]",
        ),
        click.option(
            "--stream", default=None, shell_complete=complete.streams, help="Stream.  [default: the only one]"
        ),
        click.option("--variant", default=None, help="Its variant, such as k=10.  [default: the only one]"),
        click.option(
            "--protocol", default="linear", show_default=True, metavar="NAME",
            shell_complete=complete.result_protocols, help="Protocol of the result.",
        ),
    )[: 7 if protocol else 8]:  # fmt: skip
        function = option(function)

    @functools.wraps(function)
    def gathered(**values: Any) -> Any:
        from skeltools.cli._console import err

        names = ("variant", "stream", "data", "split", "epoch", "limit", "settings")
        choice = {name: values.pop(name) for name in names}
        choice["protocol"] = protocol or values.pop("protocol")
        told: set[str] = set()

        def tell(text: str) -> None:
            if text not in told:
                err().print(f"Note: {text}", markup=False, soft_wrap=True)
            told.add(text)

        return function(choice=choice | {"tell": tell}, **values)

    return cast(F, gathered)


def as_json(function: F) -> F:
    """Add ``--json``, handed over as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(function)


def device(function: F) -> F:
    """Add ``--device``."""
    return click.option(
        "--device",
        default="auto",
        show_default=True,
        help="auto, cpu, cuda or cuda:N; auto takes CUDA if any.",
    )(function)


def labels(function: F) -> F:
    """Add ``--labels``: where the names of arrays are that lie without them."""
    return click.option(
        "--labels",
        type=PATH,
        help="Where the names are, for arrays without: a folder with train_label.pkl and so on for AimCLR's and "
        "2s-AGCN's, a text file with one clip name per line for CTR-GCN's.",
    )(function)
