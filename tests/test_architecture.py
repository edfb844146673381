"""Every room stands on its floor: imports go down, never up and never along a floor (docs/architecture.md)."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"skeltools": "skeltools", "protocols": "skeltools.protocols", "cli": "skeltools.cli"}
FLOORS = (
    ("errors", "progress"),
    ("files",),
    ("processes", "skeletons"),
    ("datasets", "settings", "environment", "plugins"),
    ("formats", "models", "results"),
    ("store", "synth", "transforms"),
    ("preparation", "clips", "methods"),
    ("convert", "runs"),
    ("exchange", "reference", "analysis"),
    ("training",),
    ("plots", "protocols"),
    ("page",),
    ("reproduce",),
    ("cli",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS, start=1) for room in rooms}
OF_METHODS = re.compile("swap|queue|salient", re.IGNORECASE)
FACE = ("skeltools", "skeltools.__main__")
"""The lazy names of the package, and ``python -m skeltools``: in no room."""


def modules() -> dict[str, Path]:
    found = {}
    for folder, package in PACKAGES.items():
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join([package, *(part for part in parts if part != "__init__")])] = path
    return found


def room(module: str) -> str:
    return module.split(".")[1]


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """The modules of the project that a file names in imports, those inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (whole & known.keys()) | ({node.module} if whole - known.keys() else set())
    return found & known.keys()


def test_every_arrow_between_rooms_goes_down() -> None:
    known = modules()
    wrong = [
        f"{module} imports {other}"
        for module, path in sorted(known.items())
        if module not in FACE
        for other in sorted(imports(path, known))
        if other not in FACE and room(module) != room(other) and FLOOR[room(module)] <= FLOOR[room(other)]
    ]
    assert not wrong


def test_the_top_of_the_package_holds_few_files() -> None:
    assert len([path for path in (ROOT / "skeltools").iterdir() if path.is_file()]) <= 12


def test_the_finder_of_imports_sees_lazy_and_submodule_imports(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(
        "def f():\n    from skeltools.store import reader, ClipFile\n    import skeltools.errors\n"
    )
    known = modules()
    assert imports(path, known) == {"skeltools.store.reader", "skeltools.store", "skeltools.errors"}


ENGINE = ("training", "runs", "plots", "page")
"""Rooms that know no method: they speak to `skeltools.methods.contract` and find methods by the registry."""


@pytest.mark.parametrize("room", ENGINE)
def test_the_engine_and_the_pictures_know_no_method(room: str) -> None:
    """No word of one, in code, texts or names; `salience`, which pictures show of any mask, is none of them."""
    known = modules()
    files = [
        path
        for path in sorted((ROOT / "skeltools" / room).rglob("*"))
        if path.suffix in (".py", ".js", ".css", ".html")
    ]
    assert len(files) > 5
    wrong = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in files
        for word in OF_METHODS.findall(path.read_text(encoding="utf-8"))
    ]
    wrong += [
        f"{path.relative_to(ROOT)} imports {other}"
        for path in files
        if path.suffix == ".py"
        for other in sorted(imports(path, known))
        if other.startswith("skeltools.methods.") and other.split(".")[2] not in ("contract", "registry")
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("part_swap", ["swap"]),
        ("QueueSettings", ["Queue"]),
        ("nonsalient, Salient", ["salient", "Salient"]),
        ("salience hasSalience", []),
        ("loss_local: losses", []),
    ],
)
def test_the_words_of_methods_are_found_inside_names(text: str, found: list[str]) -> None:
    assert OF_METHODS.findall(text) == found


COUNTS = (25, 50, 75, 150)
"""Kinect v2's joints and two bodies of them, coordinates included."""

EXCUSED = {
    "skeltools/analysis/embedding.py": "components of a principal component analysis",
    "skeltools/plots/curves.py": "steps that are averaged",
    "skeltools/plots/style.py": "dots per inch",
    "skeltools/reference/contract.py": "frames per clip of AimCLR",
    "protocols/calibration.py": "per cent",
    "protocols/ensemble.py": "per cent",
    "cli/_pictures.py": "frames per second",
}
"""Where such a number is another thing."""


def test_no_module_outside_skeletons_and_datasets_knows_a_joint_count() -> None:
    found: dict[str, int] = {}
    for module, path in sorted(modules().items()):
        if module in FACE or room(module) in ("skeletons", "datasets"):
            continue
        lines = {
            node.lineno
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Constant) and type(node.value) in (int, float) and node.value in COUNTS
        }
        if lines:
            found[path.relative_to(ROOT).as_posix()] = len(lines)
    assert found.keys() == EXCUSED.keys()
    assert sum(found.values()) <= 10
