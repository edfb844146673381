"""MAMP's protocols from the command line: run, recorded, reported; and refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from clipfiles import make_clips

from skeltools.cli.main import main

SIZES = {
    "vit": ("mamp", "model.dim=16", "model.vit_depth=2", "model.vit_heads=2", "decoder.dim=8", "decoder.depth=1",
            "decoder.heads=2"),
    "bigru": ("skeletonclr", "model.backbone=bigru", "model.gru_hidden=4", "model.gru_layers=1", "model.embedding=4",
              "queue.size=16"),
}  # fmt: skip


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="skeltools")


def records(*words: object) -> list[dict[str, Any]]:
    result = run("eval", *words, "--json")
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def refused(*words: object) -> str:
    result = run("eval", *words)
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    return line.removeprefix("Error: ")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run of each kind on 20 training clips and 4 of test."""
    folder = tmp_path_factory.mktemp("runs")
    clips = make_clips(folder)
    for name, (recipe, *sizes) in SIZES.items():
        words = [word for one in (*sizes, "train.epochs=1", "train.batch_size=8") for word in ("--set", one)]
        result = run(
            "pretrain",
            clips,
            "--split",
            "xsub",
            "--stream",
            "joint",
            "--recipe",
            recipe,
            "--out",
            folder / name,
            *words,
        )
        assert result.exit_code == 0, result.output
    return folder


def test_linear_mamp_says_what_it_costs_and_records_what_it_did(place: Path) -> None:
    words = ("eval", place / "vit", "--protocol", "linear", "--recipe", "linear-mamp", "--epochs", 3)
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    assert (
        "pretrained: 60 clips pass through the encoder (3 x 20), about a second. With views=K"
        in result.stderr
    )
    (record,) = json.loads(result.stdout)
    assert record["variant"] == "bn b256 augmented"
    assert record["recipe"] == "linear (MAMP)"
    assert record["settings"]["linear.view"] == "crop_resize(0.5,1,64)|rotate_uniform(0.3)"
    assert record["settings"]["linear.views"] == 0
    again = json.loads(run(*words, "--json").stdout)[0]
    assert [again[key] for key in ("key", "top1", "best_top1")] == [
        record[key] for key in ("key", "top1", "best_top1")
    ]


def test_views_are_a_named_approximation(place: Path) -> None:
    words = (place / "vit", "--protocol", "linear", "--recipe", "linear-mamp-views", "--epochs", 3)
    (record,) = records(*words, "--set", "linear.views=2")
    assert record["variant"] == "bn b256 augmented views=2"
    assert record["notes"][0] == (
        "linear: 2 fixed passes of augmented clips, taken in turn, stand for a new one every epoch, an approximation."
    )


@pytest.mark.parametrize(
    ("protocol", "recipe", "variant", "clips"),
    [
        ("finetune", "finetune-mamp", "train joints augmented", 20),
        ("semi:30", "semi-mamp", "train joints augmented", 8),  # halves up in each of four classes of five
        ("semi:30", "semi-mamp-plain", "train joints augmented plain", 6),
    ],
)
def test_finetuning_of_mamp_is_recorded_and_reported(
    place: Path, protocol: str, recipe: str, variant: str, clips: int
) -> None:
    section = protocol.partition(":")[0]
    (record,) = records(
        place / "vit",
        "--protocol",
        protocol,
        "--recipe",
        recipe,
        "--epochs",
        1,
        "--set",
        f"{section}.head_hidden=8",
    )
    assert (record["variant"], record["train_clips"]) == (variant, clips)
    assert record["settings"][f"{section}.layer_decay"] == 0.8
    table = run("report", place / "vit")
    assert table.exit_code == 0
    assert variant in table.stdout


def test_an_encoder_without_tokens_of_joints_is_refused_in_one_line(place: Path) -> None:
    assert refused(place / "bigru", "--protocol", "finetune", "--recipe", "finetune-mamp") == (
        "finetune.head joints needs a token for each joint, which BiGRU does not give. Set finetune.head=linear and "
        "finetune.token_dropout=0."
    )
    assert not list((place / "bigru" / "results").glob("*.json"))
    (record,) = records(place / "bigru", "--protocol", "linear", "--recipe", "linear-mamp", "--epochs", 1)
    assert record["variant"] == "bn b256 augmented"


def test_a_recipe_of_another_protocol_is_refused_in_one_line(place: Path) -> None:
    assert refused(place / "vit", "--protocol", "semi10", "--recipe", "semi-mamp") == (
        "Unknown setting 'semi.percent' (recipe semi). Recipe 'semi-mamp' is of semi.*, "
        "protocol 'semi10' takes semi10.*."
    )


def test_all_leaves_out_what_the_encoder_does_not_give(place: Path) -> None:
    words = (
        "eval",
        place / "bigru",
        "--protocol",
        "all",
        "--init",
        "pretrained",
        "--epochs",
        1,
        "--set",
        "knn.k=[1]",
    )
    result = run(
        *words,
        "--set",
        "finetune.layer_decay=0.8",
        "--set",
        "semi1.drop_path=0.1",
        "--set",
        "semi1.mode=train",
    )
    assert result.exit_code == 0, result.output
    told = "".join(result.stderr.split())
    assert (
        "Leftout:semi1:semi1.drop_path0.1skipsbranchesofblocks,whichBiGRUcannot.Setsemi1.drop_path=0." in told
    )
    assert "finetune" in result.stdout  # BiGRU tells its layers
