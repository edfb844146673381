"""From one skeleton to another: which joints each joint is made of, and with which weights."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skeltools.errors import SettingError, did_you_mean
from skeltools.files.texts import parse_toml, read_named
from skeltools.skeletons.skeleton import Skeleton

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_KEYS = {"from", "to", "joints"}
_OPTIONAL = {"missing", "title", "source", "rule"}

_LARGEST_WEIGHT = 16
"""No joint lies farther beyond its neighbours than this times their distance."""

_SHARE = re.compile(r"-?\d{1,6}/[1-9]\d{0,5}", re.ASCII)


@dataclass(frozen=True)
class JointMap:
    """How the joints of one skeleton are made of those of another.

    Attributes:
        source: The skeleton that is mapped, of V joints.
        target: The skeleton that comes out, of W joints.
        weights: For each joint of `target`, joints of `source` with their weights, whose sum is 1.
        missing: Joints of `target` that `source` has no counterpart of: their weights only say where they are put.
        rule: How these were put, in words.
    """

    source: Skeleton
    target: Skeleton
    weights: tuple[tuple[tuple[int, Fraction], ...], ...]
    missing: tuple[int, ...] = ()
    rule: str = ""

    @classmethod
    def identity(cls, skeleton: Skeleton) -> JointMap:
        """Return the map that changes nothing."""
        return cls(skeleton, skeleton, tuple(((joint, Fraction(1)),) for joint in range(skeleton.num_joints)))

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return (
            self.source.joints == self.target.joints
            and self.weights == JointMap.identity(self.source).weights
        )

    @cached_property
    def matrix(self) -> NDArray[np.float64]:
        """The weights as float64 (W, V)."""
        import numpy as np

        found = np.zeros((self.target.num_joints, self.source.num_joints))
        for row, of in enumerate(self.weights):
            for joint, weight in of:
                found[row, joint] = float(weight)
        return found

    def apply(self, coords: NDArray[Any], axis: int) -> NDArray[np.float64]:
        """Return coordinates with V joints along `axis` with W joints there, float64.

        What is made of one joint has its coordinates to the last bit. Absent bodies, which are zeros, stay so.
        """
        import numpy as np

        moved = np.moveaxis(np.asarray(coords, np.float64), axis, 0)
        made = np.empty((len(self.weights), *moved.shape[1:]))
        for row, of in enumerate(self.weights):
            made[row] = moved[of[0][0]] if len(of) == 1 else sum(float(part) * moved[at] for at, part in of)
        return np.moveaxis(made, 0, axis)

    def map_bodies(self, coords: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
        """Map recorded bodies, float32 (B, V, C), where a joint at the origin is one that was not tracked.

        Returns:
            float32 (B, W, C), and how many of its joints are zeros because a joint they are made of was not
            tracked.
        """
        import numpy as np

        made = self.apply(coords, 1).astype(np.float32)
        untracked = ~np.asarray(coords.any(axis=2))  # (B, V)
        lost = np.zeros(made.shape[:2], bool)
        for row, of in enumerate(self.weights):
            lost[:, row] = untracked[:, [joint for joint, _ in of]].any(axis=1)
        made[lost] = 0
        return made, int(lost.sum())

    def to_json(self) -> str:
        """Return it as one line of JSON: names of joints, and weights as numbers."""
        return json.dumps(
            {
                "from": self.source.name,
                "to": self.target.name,
                "joints": self._named(
                    joint for joint in range(len(self.weights)) if joint not in self.missing
                ),
                "missing": self._named(self.missing),
                "rule": self.rule,
            }
        )

    def _named(self, joints: Any) -> dict[str, dict[str, float]]:
        return {
            self.target.joints[joint]: {
                self.source.joints[at]: float(part) for at, part in self.weights[joint]
            }
            for joint in joints
        }

    def told(self) -> str:
        """Say in a sentence which joints have no counterpart and what they are made of."""
        start = f"{self.source.name} mapped to {self.target.name}"
        if not self.missing:
            return f"{start}: every joint has a counterpart."
        made = (
            f"{self.target.joints[joint]} of "
            + " + ".join(
                self.source.joints[at] if part == 1 else f"{part} {self.source.joints[at]}"
                for at, part in self.weights[joint]
            )
            for joint in self.missing
        )
        return f"{start}: joints without a counterpart are made up: {', '.join(made)}."

    @staticmethod
    def from_dict(content: Mapping[str, Any], source: Skeleton, target: Skeleton, where: str) -> JointMap:
        """Return the map of plain values.

        Args:
            content: ``from`` and ``to``, names of the skeletons; ``joints`` and ``missing``, tables that give for
                a joint of `target` a joint of `source`, or a table of joints with weights: whole numbers,
                decimals or texts such as ``1/3``. What neither names is refused.
            source: The skeleton that is mapped.
            target: The skeleton that comes out.
            where: The file, for messages.

        Raises:
            SettingError: A key is missing or unknown, a joint is not one of its skeleton, is given twice or not at
                all, or weights do not sum to 1.
        """
        lacking, unknown = _KEYS - content.keys(), content.keys() - _KEYS - _OPTIONAL
        if lacking or unknown:
            what = f"lacks '{min(lacking)}'" if lacking else f"does not know '{min(unknown)}'"
            raise SettingError(
                f"{where}: a map of joints {what}. Its keys are {', '.join(sorted(_KEYS | _OPTIONAL))}."
            )
        for key, skeleton in (("from", source), ("to", target)):
            if content[key] != skeleton.name:
                raise SettingError(
                    f"{where}: it maps {key} {content[key]!r}, but that skeleton is {skeleton.name} here."
                )
        found: dict[int, tuple[tuple[int, Fraction], ...]] = {}
        missing = []
        for key in ("joints", "missing"):
            table = content.get(key, {})
            if not isinstance(table, Mapping):
                raise SettingError(f"{where}: {key} must be a table of joints, not {table!r:.60}.")
            for name, of in table.items():
                joint = _number(name, target, f"{where}: {key}")
                if joint in found:
                    raise SettingError(f"{where}: '{name}' is given twice.")
                found[joint] = _weights(of, source, f"{where}: {key}.{name}")
                missing += [joint] if key == "missing" else []
        left = [name for joint, name in enumerate(target.joints) if joint not in found]
        if left:
            raise SettingError(
                f"{where}: nothing is said of {', '.join(left)} of {target.name}. Give what each is made of, under "
                "[missing] where it has no counterpart."
            )
        rows = tuple(found[joint] for joint in range(target.num_joints))
        return JointMap(source, target, rows, tuple(sorted(missing)), str(content.get("rule", "")))


def _number(name: Any, skeleton: Skeleton, where: str) -> int:
    if isinstance(name, str) and name in skeleton.joints:
        return skeleton.joints.index(name)
    raise SettingError(
        f"{where} names {name!r:.60}, which is not a joint of {skeleton.name}."
        f"{did_you_mean(str(name), skeleton.joints)}"
    )


def _weights(of: Any, source: Skeleton, where: str) -> tuple[tuple[int, Fraction], ...]:
    if not isinstance(of, (str, Mapping)) or not of:
        raise SettingError(f"{where} must be a joint of {source.name}, or a table of joints with weights.")
    parts = {of: 1} if isinstance(of, str) else of
    found = {_number(name, source, where): _weight(part, f"{where}.{name}") for name, part in parts.items()}
    total = sum(found.values(), Fraction(0))
    if abs(total - 1) > Fraction(1, 10**6):
        raise SettingError(f"{where}: its weights sum to {float(total):.6g}, not to 1.")
    return tuple((joint, part / total) for joint, part in found.items() if part)


def _weight(part: Any, where: str) -> Fraction:
    found: Fraction | None = None
    if isinstance(part, str) and _SHARE.fullmatch(part):
        found = Fraction(part)
    elif isinstance(part, (int, float)) and not isinstance(part, bool) and abs(part) <= _LARGEST_WEIGHT:
        found = Fraction(str(part))
    if found is None or abs(found) > _LARGEST_WEIGHT:
        raise SettingError(
            f"{where}: the weight must be a number up to {_LARGEST_WEIGHT}, such as 0.5 or '1/3', not {part!r:.60}."
        )
    return found


def packaged_maps() -> list[tuple[str, str]]:
    """Return (from, to) of the maps that ship with the package, sorted."""
    names = (entry.name for entry in (files("skeltools.skeletons") / "maps").iterdir())
    pairs = (name.removesuffix(".toml").partition("-") for name in names if name.endswith(".toml"))
    return sorted((source, target) for source, _, target in pairs)


def find_map(source: Skeleton, target: Skeleton) -> JointMap:
    """Return the packaged map from one skeleton to another; of a skeleton to itself, the identity.

    Raises:
        SettingError: There is none.
    """
    from skeltools.skeletons import load

    if source.joints == target.joints:
        return JointMap(source, target, JointMap.identity(target).weights)
    known = packaged_maps()
    if (source.name, target.name) not in known or load(source.name).joints != source.joints:
        there = ", ".join(f"{one} to {other}" for one, other in known)
        raise SettingError(
            f"There is no map from the skeleton {source.name} to {target.name}. There are: {there}. Write your "
            "own and give it: --map FILE.toml"
        )
    name = f"{source.name}-{target.name}"
    text = (files("skeltools.skeletons") / "maps" / f"{name}.toml").read_text(encoding="utf-8")
    return JointMap.from_dict(parse_toml(text), source, target, f"map '{name}'")


def load_map(path: str | Path, source: Skeleton, target: Skeleton | None = None) -> JointMap:
    """Return one's own map, from a TOML file as those of the package are.

    Args:
        path: The file.
        source: The skeleton that is mapped.
        target: The skeleton that comes out; None for the packaged one that the file names.

    Raises:
        SettingError: There is no such file, or it does not hold such a map.
    """
    from skeltools.skeletons import load

    try:
        content = parse_toml(read_named(path, "Map file"))
    except ValueError as error:
        raise SettingError(f"Map file {path} cannot be read: {str(error).rstrip('.')}.") from None
    if target is None:
        if not isinstance(content.get("to"), str):
            raise SettingError(f"Map file {path}: 'to' must name a skeleton.")
        target = load(content["to"])
    return JointMap.from_dict(content, source, target, f"Map file {path}")
