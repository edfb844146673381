"""The ``skeltools`` command: a group whose commands are imported only when they run."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import threading
import weakref
from collections.abc import Iterator
from types import FrameType
from typing import Any

import click
from click.shell_completion import CompletionItem

import skeltools
from skeltools.errors import SkeltoolsError, did_you_mean
from skeltools.files.texts import printable, write_plainly

COMMANDS = {
    "synth": "Write raw files of synthetic motion in a real format.",
    "describe": "Write a first descriptor of data of your own, for 'skeltools convert'.",
    "convert": "Convert raw skeleton files into one verified HDF5 file.",
    "inspect": "Show what is in a converted file.",
    "view": "Write an HTML page with a 3-D player of a file's clips.",
    "verify": "Check a converted file.",
    "diff": "Show what differs between two converted files, or a converted file and somebody's arrays.",
    "derive": "Prepare the recordings kept in a converted file anew, without the raw files; or on another skeleton.",
    "subset": "List the label subsets of a converted file, and draw further ones into it.",
    "import": "Turn somebody's prepared clips into a converted file.",
    "export": "Write the clips of a converted file in a form other projects read.",
    "identify": "Find out by which preparation somebody's clips were made.",
    "skeletons": "List the packaged skeletons, or show one: its joints as a tree, and its parts.",
    "pretrain": "Pretrain an encoder by self-supervision.",
    "config": "Show every setting of a recipe, a run or a protocol: value, origin, bounds, help.",
    "runs": "List runs: what they are, how far they are, and what is evaluated.",
    "import-weights": "Make a run of another project's checkpoint.",
    "export-model": "Write a run's encoder as ONNX, TorchScript or safetensors, with a model card.",
    "eval": "Evaluate encoders by standard protocols.",
    "report": "Print the recorded results of runs as tables.",
    "results": "Exchange recorded results with another group.",
    "compare": "Test whether two results differ on the same test clips.",
    "plot": "Draw clips, runs and results.",
    "page": "Write one self-contained HTML page of runs.",
    "features": "Write the encoder's features of every clip of a file.",
    "predict": "Classify recordings, whole or over time, by a run's recorded linear classifier.",
    "selfcheck": "Recompute reference numbers on this machine.",
    "reproduce": "Make a whole table from one plan.",
    "demo": "Run the main job on synthetic data, end to end.",
}
"""Every command with its one-line help, in the order of use. The command lives in the module of its name."""


class _Commands(click.Group):
    """Loads a command's module when it is run; turns skeltools errors into one line and exit status 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"skeltools.cli.{name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] == "help":
            if args[1:]:
                return self.resolve_command(ctx, [*args[1:], "--help"])
            click.echo(ctx.get_help(), file=sys.stdout)
            ctx.exit()
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            hint = did_you_mean(args[0], COMMANDS)
            raise click.UsageError(f"No such command '{args[0]}'.{hint} See 'skeltools --help'.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer the commands, without importing them."""
        return [
            CompletionItem(name, help=told) for name, told in COMMANDS.items() if name.startswith(incomplete)
        ] or super(click.Group, self).shell_complete(ctx, incomplete)

    def main(self, *args: Any, **extra: Any) -> Any:
        _open_closed_streams()
        for stream in (sys.stdout, sys.stderr):
            write_plainly(stream)
        try:
            return super().main(*args, **extra)
        except OSError as error:  # of what click itself prints, such as the help
            with contextlib.suppress(OSError):
                print(f"Error: Standard output: {error.strerror or error}.", file=sys.stderr)
            sys.exit(2)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        try:
            return super().make_context(*args, **extra)
        except click.UsageError as error:
            raise _misused(error) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            os.getcwd()  # noqa: PTH109
        except OSError as error:
            raise _fault(
                f"The working folder cannot be found ({error.strerror}). Change to one that exists."
            ) from None
        try:
            with _ending_on_signals(), _hanging_up():
                return super().invoke(ctx)
        except click.UsageError as error:
            raise _misused(error) from None
        except _Terminated:
            raise _fault("Ended by SIGTERM.", status=128 + signal.SIGTERM) from None
        except SkeltoolsError as error:
            raise _fault(str(error)) from error
        except BrokenPipeError:  # whoever read the output has enough; click ends quietly
            raise
        except OSError as error:
            where = error.filename or "Standard output, or a file that the system does not name"
            raise _fault(f"{where}: {error.strerror or error}.") from error
        except (KeyboardInterrupt, click.Abort):  # the latter is what click makes of it in a command within
            raise _fault("Interrupted.", status=130) from None
        except (click.ClickException, click.exceptions.Exit):
            raise
        except Exception as error:
            if os.environ.get("SKELTOOLS_DEBUG"):
                raise
            if _is_lack_of_memory(error):
                raise _fault(
                    "The memory of this machine, or what a limit leaves of it, was not enough "
                    f"({type(error).__name__}: {_first_line(error)}). Give the command more, or let it need "
                    "less: pretrain takes --batch-size and --workers, convert --workers, eval --limit."
                ) from error
            raise _fault(
                f"Internal error ({type(error).__name__}: {error}). This is a bug in skeltools; "
                "run again with SKELTOOLS_DEBUG=1 and report what it prints.",
                status=70,
            ) from error


def _open_closed_streams() -> None:
    """Open what was closed before the start, as by ``>&-`` or a daemon, so that printing goes nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115


def _is_lack_of_memory(error: Exception) -> bool:
    """Tell whether Python, NumPy or torch, which has no type for it on the CPU, found no memory."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "allocate memory" in str(error))
    )


def _first_line(error: Exception) -> str:
    """Return what an error says, without the addresses torch may list below."""
    return (str(error).strip() or "out of memory").splitlines()[0].rstrip(".")


_ASKED: list[type[KeyboardInterrupt]] = []
"""The signals that have come while a command runs."""


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which unwinds a command as Ctrl-C does, so that it removes its temporary files."""


@contextlib.contextmanager
def _ending_on_signals() -> Iterator[None]:
    """Raise `_Terminated` at SIGTERM and KeyboardInterrupt at SIGINT, where these have their usual effect.

    An import or compiled code under way may make an error of its own of what is raised within it
    (SystemError, SyntaxError, "cannot be read"). So whatever error comes after a signal is taken for it, in a command
    that another one runs too, where the handlers are those of the outer one.
    """
    asked = _ASKED

    def end(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            asked.append(KeyboardInterrupt)
        elif not asked:
            asked.append(_Terminated)
        while frame is not None:
            code = frame.f_code
            dropped = code.co_name == "__del__" or code.co_filename == weakref.__file__
            if dropped and hasattr(signal, "setitimer"):
                # Python drops what is raised here: once more later.
                signal.setitimer(signal.ITIMER_REAL, 0.01)
                return
            frame = frame.f_back
        raise asked[-1]

    usual: dict[int, Any] = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    if hasattr(signal, "SIGALRM"):
        usual[signal.SIGALRM] = signal.SIG_DFL
    if threading.current_thread() is not threading.main_thread():
        usual = {}
    usual = {kind: handler for kind, handler in usual.items() if signal.getsignal(kind) is handler}
    for kind in usual:
        signal.signal(kind, end)
    try:
        yield
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Exception as error:
        if asked:
            raise asked[-1] from error
        raise
    finally:
        if hasattr(signal, "setitimer") and asked:
            signal.setitimer(signal.ITIMER_REAL, 0)  # what was put off is over, and would now end the process
        for kind, handler in usual.items():
            signal.signal(kind, handler)
        if usual:
            asked.clear()


@contextlib.contextmanager
def _hanging_up() -> Iterator[None]:
    """Take SIGHUP, which comes when the terminal is closed, for SIGTERM, where it has its usual effect.

    What is written to the terminal from then on, which would be an error, goes nowhere.
    """
    number = getattr(signal, "SIGHUP", None)
    on_main = threading.current_thread() is threading.main_thread()
    if number is None or not on_main or signal.getsignal(number) is not signal.SIG_DFL:
        yield
        return
    terminals = [fd for fd in (1, 2) if os.isatty(fd)]

    def end(number: int, frame: FrameType | None) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for fd in terminals:
            os.dup2(nowhere, fd)
        os.close(nowhere)
        signal.raise_signal(signal.SIGTERM)

    signal.signal(number, end)
    try:
        yield
    finally:
        signal.signal(number, signal.SIG_DFL)


class _Fault(click.ClickException):
    """A click exception with an exit status of its own."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.exit_code = status  # type: ignore[misc]


def _misused(error: click.UsageError) -> click.ClickException:
    """Return what click finds wrong with a command line as one line, which leads to the help."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):  # its message is the help
        return error
    message = _reworded(error)
    ours = type(error) is click.UsageError and message.endswith(".")  # which says itself what to do
    if not ours:
        message += "" if message.endswith((".", "?")) else "."
        message += "" if error.ctx is None else f" See '{error.ctx.command_path} --help'."
    return _fault(message)


def _reworded(error: click.UsageError) -> str:
    """Return click's message in words that say what to give."""
    if isinstance(error, click.NoSuchOption):
        return f"No such option '{error.option_name}'.{_option_meant(error)}"
    message = error.format_message()
    for theirs, ours in _WORDS.items():
        message = message.replace(f"is not a valid {theirs}", f"is not {ours}")
    return message


_WORDS = {
    "integer range": "a whole number",
    "integer": "a whole number",
    "float range": "a number",
    "float": "a number",
}
"""What click calls a type, with what a user calls it."""


def _option_meant(error: click.NoSuchOption) -> str:
    """Return what may have been meant by an option that does not exist; empty where it is not known."""
    from skeltools.cli import _complete as complete

    name = error.option_name
    if not name.startswith("--"):
        return " Options of several letters begin with two hyphens." if len(name) == 2 else ""
    if error.ctx is None:
        return ""
    known = [word for one in error.ctx.command.params for word in one.opts if word.startswith("--")]
    word = name[2:].replace("-", "_")
    keys = [] if f"--{word.replace('_', '-')}" in known else complete.keys_ending(error.ctx, word)
    if len(keys) > 3:
        sections = ", ".join(key.removesuffix(f".{word}") for key in keys)
        return (
            f" It is a setting, given as --set SECTION.{word}=VALUE, with one of these sections: {sections}."
        )
    if keys:
        return " Did you mean " + " or ".join(f"'--set {key}=VALUE'" for key in keys) + "?"
    return did_you_mean(name, known)


def _fault(message: str, status: int = 2) -> click.ClickException:
    return _Fault(printable(" ".join(message.split())), status)


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(skeltools.__version__, "--version", prog_name="skeltools")
def main() -> None:
    """Self-supervised skeleton action recognition, from raw files to tables you can trust.

    \b
    Example:
      skeltools synth ntu60 raw/ --clips 600
      skeltools convert ntu60 raw/ ntu60.h5
      skeltools pretrain ntu60.h5 --split xsub --stream joint --out runs/joint
      skeltools eval runs/joint --protocol linear
      skeltools report runs/joint
    """
