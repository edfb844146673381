"""Transfer: an encoder pretrained on one file, judged on another (docs/method.md#transfer-learning)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from skeltools.protocols.linear import Linear, LinearSettings
from skeltools.protocols.running.contract import DivergedError, Outcome, Protocol, obstacle
from skeltools.protocols.running.task import Task
from skeltools.protocols.running.tuning import TuneSettings, misfit, tune
from skeltools.settings import setting

PARTS = ("linear", "finetune")


@dataclass(frozen=True)
class TransferSettings:
    linear: LinearSettings
    finetune: TuneSettings
    parts: tuple[str, ...] = setting("What is run on the target: linear, finetune.", each=PARTS)


class Transfer(Protocol):
    """Linear evaluation and finetuning on another file."""

    settings = TransferSettings
    recipe = "transfer"
    needs_target = True
    parallel = True

    def skip(self, task: Task, settings: TransferSettings) -> str | None:
        """Return why the task cannot be served: there is no target, or it is the file of the pretraining."""
        unknown = [part for part in settings.parts if part not in PARTS]
        if unknown or not settings.parts:
            return f"transfer.parts takes {' and '.join(PARTS)}, not {', '.join(unknown) or 'nothing'}"
        if not task.target:
            return "transfer needs a target, another converted file. Give it: --target FILE"
        known = task.subject.pretraining
        if known is not None and known.data_digest == task.file.digest:
            return f"{task.file.path} is the file the encoder was pretrained on. Give another: --target FILE"
        reason = obstacle(task)
        if "finetune" in settings.parts and reason is None:
            return misfit(task, settings.finetune, "transfer.finetune")
        return reason if settings.parts == ("finetune",) else None

    def run(self, task: Task, settings: TransferSettings) -> list[Outcome]:
        """Run linear evaluation and finetuning on the target; outputs are the target's classes.

        A subject that is not an encoder to train is run with linear alone. Where finetuning diverges after linear
        has a result, that result is returned with a note.

        Raises:
            RunError: See `skeltools.protocols.linear` and `skeltools.protocols.running.tuning`.
        """
        outcomes = []
        if "linear" in settings.parts and task.world.is_main:
            (outcome,) = Linear().run(task, settings.linear)
            outcomes.append(replace(outcome, variant=f"linear {outcome.variant}".strip()))
        if "finetune" in settings.parts and obstacle(task) is None:
            try:
                outcome = tune(task, task.train_rows, settings.finetune, "transfer finetune")
            except DivergedError as error:
                if "linear" not in settings.parts:
                    raise
                if not outcomes:  # another process has the linear result
                    return []
                outcomes[0].notes.append(
                    f"{task.subject.name}, {task.subject.kind}, seed {task.seed}: {error}"
                )
            else:
                outcomes.append(replace(outcome, variant=f"finetune {outcome.variant}"))
        return outcomes
