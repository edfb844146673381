"""``skeltools selfcheck`` and the reference numbers of all backbones."""

from __future__ import annotations

import functools
import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from skeltools.cli.main import main
from skeltools.errors import DataError
from skeltools.reference.selfcheck import SHIPPED, Row, check_file, check_shipped, shipped_numbers

CPU = torch.device("cpu")


@functools.cache
def checked(path: Path) -> tuple[Row, ...]:
    """What is found in a file that stays as it is."""
    return tuple(check_file(path, CPU))


STREAM_FILES = ("skeattnclr_stream_bone", "skeattnclr_stream_motion")


@pytest.mark.parametrize(
    ("name", "least"),
    [("skeattnclr_tiny", 40), ("backbone_bigru_tiny", 10), ("backbone_dsta_tiny", 10)]
    + [(name, 50) for name in STREAM_FILES],
)
def test_reference_numbers_are_reproduced(shared: Path, name: str, least: int) -> None:
    rows = checked(shared / "reference" / f"{name}.npz")
    assert not [row for row in rows if not row.ok or row.skipped]
    assert len(rows) >= least


@pytest.mark.parametrize("name", STREAM_FILES)
def test_references_in_float64_are_held_to_1e_10_on_their_stream(shared: Path, name: str) -> None:
    rows = checked(shared / "reference" / f"{name}.npz")
    exact = [row for row in rows if row.dtype == "float64"]
    assert all(row.tolerance <= 1e-10 and row.ok for row in exact)
    assert {"step0/loss", "step1/loss_salient", "step1/k_ns", "eval/logits"} <= {
        row.quantity for row in exact
    }
    assert sum("grad_norms" in row.quantity for row in exact) == 2


@pytest.mark.parametrize("view", ["joint", pytest.param("motion", marks=pytest.mark.slow)])
def test_a_file_under_another_stream_is_out(shared: Path, tmp_path: Path, view: str) -> None:
    content = dict(np.load(shared / "reference" / "skeattnclr_stream_bone.npz"))
    np.savez(tmp_path / "other.npz", **content | {"view": np.array(view)})
    assert any(row.quantity == "step0/loss" and not row.ok for row in check_file(tmp_path / "other.npz", CPU))
    np.savez(tmp_path / "unknown.npz", **content | {"view": np.array("bones")})
    with pytest.raises(DataError, match=r"unknown.npz: Unknown stream 'bones'.*Did you mean 'bone'"):
        check_file(tmp_path / "unknown.npz", CPU)


def test_shipped_numbers_are_reproduced_and_are_what_this_code_makes() -> None:
    rows = check_shipped(CPU)
    assert not [row for row in rows if not row.ok or row.skipped]
    stored = json.loads((files("skeltools.reference") / SHIPPED).read_text())
    assert shipped_numbers(CPU, torch.float64) == pytest.approx(stored, rel=1e-10)


def test_a_number_that_is_off_is_found_and_missing_ones_are_skipped_by_name(
    shared: Path, tmp_path: Path
) -> None:
    content = dict(np.load(shared / "reference" / "backbone_bigru_tiny.npz"))
    content["train/z"] = content["train/z"] + 1e-3
    del content["eval/z"]
    path = tmp_path / "changed.npz"
    np.savez(path, **content)
    result = CliRunner().invoke(main, ["selfcheck", "--device", "cpu", str(path)])
    assert result.exit_code == 1
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    assert "OUT" in lines["train/z"]
    assert "skipped: not in file" in lines["eval/z"]
    assert "ok" in lines["train/z_salient"]
    assert "1 out of tolerance." in result.stdout


def test_a_wrong_weight_puts_many_numbers_out(shared: Path, tmp_path: Path) -> None:
    content = dict(np.load(shared / "reference" / "skeattnclr_tiny.npz"))
    name = "init/encoder_q.backbone.st_gcn_networks.3.tcn.2.weight"
    content[name] = content[name][:, :, ::-1].copy()
    content = {name: value for name, value in content.items() if not name.startswith("step1/")}
    path = tmp_path / "changed.npz"
    np.savez(path, **content)
    rows = check_file(path, CPU)
    assert sum(not row.ok for row in rows) > 5
    assert [row.quantity for row in rows if row.skipped] == ["step1/xq and what follows"]


def test_files_of_another_kind_are_named(tmp_path: Path) -> None:
    text = tmp_path / "a.npz"
    text.write_text("hello")
    with pytest.raises(
        DataError, match=r"a.npz is not an .npz file of numbers but a text file\. Give reference numbers"
    ):
        check_file(text, CPU)
    np.savez(tmp_path / "b.npz", x=np.zeros(3))
    with pytest.raises(DataError, match=r"b.npz is in no known layout"):
        check_file(tmp_path / "b.npz", CPU)
    np.savez(tmp_path / "c.npz", hparams=np.array([8, 32, 16, 36, 8, 6]))
    with pytest.raises(DataError, match=r"c.npz lacks 'temperature'"):
        check_file(tmp_path / "c.npz", CPU)
    with pytest.raises(DataError, match=r"none.npz does not exist"):
        check_file(tmp_path / "none.npz", CPU)


PEERS = {
    **dict.fromkeys(("stgcn_aim", "stgcn_mix", "stgcn_hic", "stgcn_act", "stgcn_pstl", "stgcn_hysp"), 3),
    "dsta_hiclr": 3,
    "cmd_bigru": 9,
}


@pytest.mark.parametrize(("name", "rows"), PEERS.items())
def test_other_projects_numbers_are_reproduced(shared: Path, tmp_path: Path, name: str, rows: int) -> None:
    path = shared / "reference" / "peers" / f"{name}_tiny.npz"
    found = check_file(path, CPU)
    assert all(row.ok for row in found)
    assert len(found) == rows
    compared = [row.quantity for row in found if not row.skipped]
    assert len(compared) == (6 if name == "cmd_bigru" else 3)  # CMD's has none after training mode
    content = dict(np.load(path))
    content[compared[0]] = content[compared[0]] * 1.001
    np.savez(tmp_path / "off.npz", **content)
    assert [row.quantity for row in check_file(tmp_path / "off.npz", CPU) if not row.ok] == [compared[0]]
