"""Every method with every backbone in every protocol: what runs and what is refused is what docs/evaluation.md says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from clipfiles import make_clips

from skeltools.cli.main import main
from skeltools.errors import SkeltoolsError
from skeltools.methods.registry import METHODS
from skeltools.models.registry import BACKBONES
from skeltools.protocols import PROTOCOLS, evaluate

DOCS = Path(__file__).resolve().parents[2] / "docs" / "evaluation.md"
SIZE = (
    "model.width=2", "model.dim=8", "model.embedding=4", "model.heads=2", "model.gru_hidden=4", "model.gru_layers=1",
    "model.subsets=1", "queue.size=16", "augment.swap_unit=1", "model.vit_depth=2", "model.vit_heads=2",
    "decoder.dim=8", "decoder.depth=1", "decoder.heads=2", "train.epochs=1", "train.batch_size=8", "train.lr=1e-3",
    "monitor.every=0",
)  # fmt: skip
SHORT = {"epochs": 1, "head_hidden": 4, "k": [1]}
QUICK = {("skeattnclr", "bigru"), ("mamp", "vit")}
"""The other pairs are among the slow tests; test_eval_cli.py has one with ST-GCN."""

PAIRS = [
    (method, backbone)
    if (method, backbone) in QUICK
    else pytest.param(method, backbone, marks=pytest.mark.slow)
    for method in METHODS
    for backbone in BACKBONES
    if method != "mamp" or backbone == "vit"
]


def matrix() -> dict[str, dict[str, str]]:
    """Return the words of docs/evaluation.md by what is run and backbone."""
    text = DOCS.read_text(encoding="utf-8").partition("## What runs with what")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    head, _, *body = rows
    return {row[0].replace("`", ""): dict(zip(head[1:], row[1:], strict=True)) for row in body}


def reasons() -> dict[str, str]:
    """Return what a refused evaluation says, by its number in the table."""
    text = DOCS.read_text(encoding="utf-8").partition("## What runs with what")[2].partition("\n## ")[0]
    return dict(re.findall(r"^(\d)\. `(.*?)`", text, re.MULTILINE))


MATRIX, REASONS = matrix(), reasons()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the file to learn from, one of NTU-120 with the exemplars, and runs as they are asked for."""
    folder = tmp_path_factory.mktemp("matrix")
    make_clips(folder, train=16, test=8)
    for words in (
        ("synth", "ntu120", folder / "raw120", "--clips", 60, "--frames", 12, 16),
        ("convert", "ntu120", folder / "raw120", folder / "ntu120.h5", "--frames", 16),
    ):
        assert CliRunner().invoke(main, [str(word) for word in words]).exit_code == 0
    return folder


def pretrained(place: Path, method: str, backbone: str, stream: str = "joint") -> Path:
    out = place / f"{method}-{backbone}-{stream}"
    if not out.exists():
        words = [
            "pretrain",
            place / "clips.h5",
            "--split",
            "xsub",
            "--stream",
            stream,
            "--recipe",
            method,
            "--out",
            out,
        ]
        sizes = [word for one in (*SIZE, f"model.backbone={backbone}") for word in ("--set", one)]
        result = CliRunner().invoke(main, [str(word) for word in (*words, *sizes)])
        assert result.exit_code == 0, result.output
    return out


def test_the_table_is_of_every_protocol_and_backbone() -> None:
    names = {name.split(" --recipe ")[0].replace("semi:10", "semi:P") for name in MATRIX}
    assert names == set(PROTOCOLS)
    assert {name.split(" --recipe ")[1] for name in MATRIX if " --recipe " in name} == {
        "linear-mamp", "finetune-mamp", "semi-mamp",
    }  # fmt: skip
    assert all(tuple(row) == tuple(BACKBONES) for row in MATRIX.values())
    assert {word for row in MATRIX.values() for word in row.values()} == {
        "runs",
        *(f"refused ({n})" for n in REASONS),
    }


@pytest.mark.parametrize(("method", "backbone"), PAIRS)
def test_every_protocol_does_what_the_table_says(place: Path, method: str, backbone: str) -> None:
    run = pretrained(place, method, backbone)
    for name, row in MATRIX.items():
        if name == "ensemble":
            continue
        protocol, _, recipe = name.replace("semi:P", "semi:50").partition(" --recipe ")
        section = protocol.partition(":")[0]
        sections = ("transfer.linear", "transfer.finetune") if section == "transfer" else (section,)
        trains = {"linear", "finetune", "semi1", "semi10", "semi", "transfer"}
        keys = {"knn": ("k",)}.get(section, ("epochs",) if section in trains else ())
        if section in ("finetune", "semi"):
            keys = (*keys, "head_hidden")
        settings = {f"{part}.{key}": SHORT[key] for part in sections for key in keys}
        data = place / ("ntu120.h5" if section == "oneshot" else "clips.h5")
        target = place / "ntu120.h5" if section == "transfer" else None
        said = "runs"
        try:
            found = evaluate(
                run, protocol, data=data, recipe=recipe or None, settings=settings, target=target, limit=24
            )
            assert all(0 <= record.top1 <= 1 for record in found)
        except SkeltoolsError as error:
            said = str(error)
        number = row[backbone].removeprefix("refused (").removesuffix(")")
        assert said == REASONS.get(number, "runs").replace("finetune.", f"{section}."), name


@pytest.mark.parametrize(("method", "backbone"), PAIRS)
def test_every_pair_joins_in_an_ensemble(place: Path, method: str, backbone: str) -> None:
    runs = [pretrained(place, method, backbone, stream) for stream in ("joint", "motion")]
    assert MATRIX["ensemble"][backbone] == "runs"
    for run in runs:
        evaluate(run, "linear", settings={"linear.epochs": 1})
    words = ["eval", *map(str, runs), "--protocol", "ensemble", "--set", 'ensemble.of=["linear"]', "--json"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("backbone", [name for name in BACKBONES if name != "vit"])
def test_mamp_has_no_other_backbone_than_vit(place: Path, backbone: str) -> None:
    words = ["pretrain", str(place / "clips.h5"), "--recipe", "mamp", "--set", f"model.backbone={backbone}"]
    result = CliRunner().invoke(
        main, [*words, "--split", "xsub", "--stream", "joint", "--out", str(place / "none")]
    )
    assert result.exit_code == 2
    assert "model.backbone" in result.stderr
    assert not (place / "none").exists()
