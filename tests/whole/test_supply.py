"""requirements.lock against pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

packaging = pytest.importorskip("packaging.requirements", reason="packaging is not installed")
Requirement = packaging.Requirement

ROOT = Path(__file__).resolve().parents[2]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def lock() -> dict[str, list[tuple[str, int]]]:
    """Versions with the number of hashes, by package."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ")
    found: dict[str, list[tuple[str, int]]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            match = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line)
            assert match, f"not pinned: {line}"
            hashes = re.findall(r"--hash=sha256:[0-9a-f]{64}(?=\s|$)", line)
            found.setdefault(canonical(match[1]), []).append((match[2], len(hashes)))
    return found


def test_every_package_has_hashes(lock: dict[str, list[tuple[str, int]]]) -> None:
    assert len(lock) > 30
    assert [name for name, pins in lock.items() if not all(count for _, count in pins)] == []


def test_the_lock_holds_what_pyproject_needs(lock: dict[str, list[tuple[str, int]]]) -> None:
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = re.search(r"^LOCKED_EXTRAS := (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert extras
    project = content["project"]
    wanted = [*content["build-system"]["requires"], *project["dependencies"]]
    for extra in extras[1].split(","):
        wanted += project["optional-dependencies"][extra]
    for requirement in map(Requirement, wanted):
        if requirement.name == "torch":
            continue
        pins = lock.get(canonical(requirement.name), [])
        assert pins, f"{requirement.name} is not locked; run 'make lock'"
        for version, _ in pins:
            assert requirement.specifier.contains(version), f"{requirement} is locked at {version}"


def test_torch_and_its_cuda_libraries_are_left_out(lock: dict[str, list[tuple[str, int]]]) -> None:
    assert [name for name in lock if re.match(r"torch$|triton$|nvidia-|cuda-", name)] == []
    assert "filelock" in lock  # which torch needs in every build


def test_the_locked_torch_keeps_the_bound() -> None:
    pin = re.search(r"^LOCKED_TORCH := torch==(\S+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert pin
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    bound = next(r for r in content["project"]["dependencies"] if r.startswith("torch"))
    assert Requirement(bound).specifier.contains(pin[1])
