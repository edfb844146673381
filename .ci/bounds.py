"""Prints constraints for pip: the lower bound of each direct dependency; nothing for the newest.

python .ci/bounds.py pyproject.toml oldest archives,plot
"""

import re
import sys
import tomllib
from pathlib import Path


def main() -> None:
    """Print what the command line asks for."""
    path, age, extras = sys.argv[1:]
    if age not in ("oldest", "newest"):
        raise SystemExit(f"'{age}' is neither oldest nor newest")
    project = tomllib.loads(Path(path).read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"]]
    for extra in extras.split(","):
        wanted += project["optional-dependencies"][extra]
    for requirement in wanted:
        name, bound = re.fullmatch(r"([\w-]+)>=([\d.]+)(?:;.*)?", requirement).groups()
        if age == "oldest":
            print(f"{name}=={bound}")


if __name__ == "__main__":
    main()
