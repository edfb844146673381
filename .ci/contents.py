"""What is in the wheel and the source distribution: everything of the package, and nothing else.

python .ci/contents.py SOURCE WHEEL SDIST WHEEL_OF_SDIST
"""

import re
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

NOT_SHIPPED = re.compile(r"\.ci/|\.git")
"""Files of the source that the sdist leaves out."""


def wheel_files(path: Path) -> dict[str, int]:
    """Return the CRC of each file of a wheel by name, without its RECORD, which lists the others."""
    with zipfile.ZipFile(path) as archive:
        return {
            info.filename: info.CRC for info in archive.infolist() if not info.filename.endswith("/RECORD")
        }


def packaged(source: Path) -> set[str]:
    """Return the names that files of the packages in pyproject.toml must have in a wheel."""
    tool = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    names = set()
    for package in tool["packages"]:
        folder = source / tool["package-dir"].get(package, package.replace(".", "/"))
        names |= {
            f"{package.replace('.', '/')}/{path.relative_to(folder).as_posix()}"
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts and ".egg-info" not in str(path)
        }
    return names


def main() -> str | None:
    """Return what is wrong, or None."""
    source, wheel, sdist, again = map(Path, sys.argv[1:])
    held = wheel_files(wheel)
    strays = [name for name in held if not re.match(r"skeltools(-[^/]+\.dist-info)?/", name)]
    if strays:
        return f"The wheel installs more than skeltools: {strays}"
    code = {name for name in held if ".dist-info/" not in name}
    if code != packaged(source):
        return f"The wheel differs from the packages of pyproject.toml in: {sorted(code ^ packaged(source))}"
    if held != wheel_files(again):
        return f"The sdist makes another wheel: {sorted(set(held.items()) ^ set(wheel_files(again).items()))}"

    with tarfile.open(sdist) as archive:
        members = [member for member in archive.getmembers() if not member.isdir()]
    odd = [
        member.name
        for member in members
        if not (member.isfile() and re.match(r"skeltools-[^/]+/", member.name))
    ]
    if odd:
        return f"The sdist holds more than plain files: {odd}"
    names = {member.name.split("/", 1)[1] for member in members}
    files = {
        name
        for path in source.rglob("*")
        if path.is_file() and not NOT_SHIPPED.match(name := path.relative_to(source).as_posix())
    }
    files = {name for name in files if not name.startswith(("skeltools.egg-info/", "build/"))}
    made = {name for name in names if name.startswith("skeltools.egg-info/")} | {"PKG-INFO", "setup.cfg"}
    if names - made != files:
        return f"The sdist differs from the source in: {sorted((names - made) ^ files)}"
    print(f"wheel: {len(held)} files, {wheel.stat().st_size:,} bytes; sdist: {len(names)} files")
    return None


if __name__ == "__main__":
    sys.exit(main())
