"""What a skeleton is: a value that everything else reads its numbers of joints, bones, parts and sides from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from skeltools.errors import SettingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Skeleton:
    """Joints and how they hang together. Indices are 0-based; V is the number of joints.

    Attributes:
        name: Short name, such as ``kinect2``.
        joints: Name of each joint, V of them, all different.
        parents: Parent of each joint; exactly one joint, the root, is its own parent, so its bone is zero.
        parts: Body parts by name, in the order methods number them; they partition the joints.
        mirror: The joint on the other side of the body, or the joint itself; its own inverse, and it maps
            parents to parents.
        centre: The joint, or joints whose mean, preparation subtracts from every joint of the same frame and body.
        left_shoulder: Start of the shoulder line.
        right_shoulder: End of the shoulder line.
        left_hip: With the other hip the lower end of the torso, whose upper end lies between the shoulders.
        right_hip: The other.
        title: What it is, in words.
        source: Where the definition comes from.

    Raises:
        SettingError: The definition does not hold together; the message says where.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    parts: Mapping[str, tuple[int, ...]]
    mirror: tuple[int, ...]
    centre: tuple[int, ...]
    left_shoulder: int
    right_shoulder: int
    left_hip: int
    right_hip: int
    title: str = field(default="", compare=False)
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        fault = self._fault()
        if fault:
            raise SettingError(f"Skeleton '{self.name}': {fault}")

    def __hash__(self) -> int:
        return hash((self.name, self.joints, self.parents, self.mirror))

    @property
    def num_joints(self) -> int:
        """V."""
        return len(self.joints)

    @cached_property
    def root(self) -> int:
        """The joint that is its own parent."""
        return next(joint for joint, parent in enumerate(self.parents) if joint == parent)

    @cached_property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """The V - 1 directed bones (joint, parent), the graph's inward edges, in the order of joints."""
        return tuple((joint, parent) for joint, parent in enumerate(self.parents) if joint != parent)

    def graph(self) -> NDArray[np.float32]:
        """Return the spatial graph A as float32 (3, V, V): identity, inward, outward.

        A block computes ``out[w] = sum over k, v of x_k[v] * A[k, v, w]``. Inward and outward are divided by
        their column sums; columns of zeros stay zero.
        """
        import numpy as np

        inward = np.zeros((self.num_joints, self.num_joints))
        for joint, parent in self.bones:
            inward[parent, joint] = 1.0
        stacked = np.stack([np.eye(self.num_joints), inward, inward.T])
        for part in stacked[1:]:
            sums = part.sum(axis=0)
            part /= np.where(sums > 0, sums, 1.0)
        return stacked.astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Return the definition as plain values: what TOML files and converted files hold."""
        return {
            "name": self.name,
            "title": self.title,
            "source": self.source,
            "joints": list(self.joints),
            "parents": list(self.parents),
            "parts": {name: list(joints) for name, joints in self.parts.items()},
            "mirror": list(self.mirror),
            "centre": list(self.centre),
            "left_shoulder": self.left_shoulder,
            "right_shoulder": self.right_shoulder,
            "left_hip": self.left_hip,
            "right_hip": self.right_hip,
        }

    def to_json(self) -> str:
        """Return `to_dict` as one line of JSON."""
        return json.dumps(self.to_dict())

    def to_toml(self) -> str:
        """Return the definition as a TOML file that `skeltools.skeletons.load` reads; joints by name."""
        name = {joint: _quoted(text) for joint, text in enumerate(self.joints)}
        lines = [f"{key} = {_quoted(getattr(self, key))}" for key in ("name", "title", "source")]
        for key in ("joints", "parents", "mirror"):
            values = range(self.num_joints) if key == "joints" else getattr(self, key)
            lines += [f"{key} = [", *_wrapped([name[joint] for joint in values]), "]"]
        lines.append(f"centre = [{', '.join(name[joint] for joint in self.centre)}]")
        lines += [f"{key} = {name[getattr(self, key)]}" for key in _SINGLE]
        lines += ["", "[parts]"]
        for part, joints in self.parts.items():
            lines += [f"{_quoted(part)} = [", *_wrapped([name[joint] for joint in joints]), "]"]
        return "\n".join(lines) + "\n"

    def tree(self) -> list[str]:
        """Return the joints as lines of a tree: number, name, part, and what the joint serves as."""
        part = {joint: name for name, joints in self.parts.items() for joint in joints}
        roles = {joint: ["centre"] for joint in self.centre}
        for key in _SINGLE:
            roles.setdefault(getattr(self, key), []).append(key.replace("_", " "))
        children: dict[int, list[int]] = {}
        for joint, parent in self.bones:
            children.setdefault(parent, []).append(joint)
        lines = []
        left = [(self.root, "", "")]  # joint, what is before it, and before its children
        while left:
            joint, before, below = left.pop()
            told = [part[joint], *(role for role in roles.get(joint, []) if role != self.joints[joint])]
            lines.append(f"{before}{joint} {self.joints[joint]} ({', '.join(told)})")
            hanging = children.get(joint, [])
            left += [
                (child, below + ("`-- " if last else "|-- "), below + ("    " if last else "|   "))
                for child in reversed(hanging)
                for last in (child == hanging[-1],)
            ]
        return lines

    @staticmethod
    def from_json(text: str, where: str) -> Skeleton:
        """Return the skeleton that `to_json` wrote.

        Raises:
            SettingError: The text is none.
        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise SettingError(f"{where} is not a JSON object.")
        return Skeleton.from_dict(content, where)

    @staticmethod
    def from_dict(content: Mapping[str, Any], where: str) -> Skeleton:
        """Return the skeleton of plain values; joints may be given by name or by number.

        Args:
            content: As `to_dict` gives it; ``title`` and ``source`` may be missing, and so may a ``mirror``
                where every joint is its own.
            where: The file, for messages.

        Raises:
            SettingError: A key is missing or unknown, or the definition does not hold together.
        """
        unknown = content.keys() - _KEYS - _OPTIONAL
        lacking = _KEYS - content.keys()
        if unknown or lacking:
            what = f"does not know '{min(unknown)}'" if unknown else f"lacks '{min(lacking)}'"
            raise SettingError(f"{where}: a skeleton {what}. Its keys are {', '.join(sorted(_KEYS))}.")
        joints = content["joints"]
        if not isinstance(joints, list) or not all(isinstance(joint, str) for joint in joints) or not joints:
            raise SettingError(f"{where}: joints must be a list of names.")
        if not isinstance(content["parts"], Mapping):
            raise SettingError(f"{where}: parts must be a table of lists of joints.")
        number = {joint: place for place, joint in enumerate(joints)}

        def index(value: Any, key: str) -> int:
            if isinstance(value, str) and value in number:
                return number[value]
            if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(joints):
                return value
            raise SettingError(f"{where}: {key} names {value!r}, which is not a joint of {len(joints)}.")

        def indices(values: Any, key: str) -> tuple[int, ...]:
            if not isinstance(values, list):
                raise SettingError(f"{where}: {key} must be a list of joints, not {values!r}.")
            return tuple(index(value, key) for value in values)

        centre = content["centre"]
        try:
            return Skeleton(
                name=str(content["name"]),
                joints=tuple(joints),
                parents=indices(content["parents"], "parents"),
                parts={str(name): indices(part, f"parts.{name}") for name, part in content["parts"].items()},
                mirror=indices(content.get("mirror", list(range(len(joints)))), "mirror"),
                centre=indices(centre if isinstance(centre, list) else [centre], "centre"),
                **{key: index(content[key], key) for key in _SINGLE},
                title=str(content.get("title", "")),
                source=str(content.get("source", "")),
            )
        except SettingError as error:
            raise SettingError(str(error) if where in str(error) else f"{where}: {error}") from None

    def _fault(self) -> str:
        """Say what does not hold together; empty where all does."""
        joints = range(self.num_joints)
        if len(set(self.joints)) < self.num_joints:
            twice = next(name for name in self.joints if self.joints.count(name) > 1)
            return f"two joints are called '{twice}'."
        for key in ("parents", "mirror"):
            values = getattr(self, key)
            if len(values) != self.num_joints or not set(values) <= set(joints):
                return f"{key} must give a joint for each of the {self.num_joints} joints."
        roots = [joint for joint in joints if self.parents[joint] == joint]
        if len(roots) != 1:
            named = ", ".join(self.joints[joint] for joint in roots) or "none"
            return f"exactly one joint must be its own parent (the root), not {len(roots)} ({named})."
        for joint in joints:
            seen, at = set[int](), joint
            while self.parents[at] != at:
                if at in seen:
                    return f"the parents of '{self.joints[joint]}' run in a circle and never reach the root."
                seen.add(at)
                at = self.parents[at]
        counted = sorted(joint for part in self.parts.values() for joint in part)
        if counted != list(joints) or not all(self.parts.values()):
            odd = next((joint for joint in joints if counted.count(joint) != 1), None)
            which = "a part is empty" if odd is None else f"'{self.joints[odd]}' is in {counted.count(odd)}"
            return f"every joint must be in exactly one part: {which}."
        for joint in joints:
            if self.mirror[self.mirror[joint]] != joint:
                return f"the mirror of the mirror of '{self.joints[joint]}' must be the joint itself."
            if self.mirror[self.parents[joint]] != self.parents[self.mirror[joint]]:
                return f"mirror must map the parent of '{self.joints[joint]}' to its mirrored joint's parent."
        if not self.centre:
            return "centre must name a joint, or several."
        for key in ("centre", *_SINGLE):
            value = getattr(self, key)
            for joint in value if isinstance(value, tuple) else (value,):
                if joint not in joints:
                    return f"{key} must be a joint, 0 to {self.num_joints - 1}, not {joint}."
        return ""


@dataclass(frozen=True)
class Form:
    """What the clips of a data set look like: (N, 3, T, V, M).

    Attributes:
        skeleton: Of V joints.
        bodies: M.
        frames: T.
        dimensions: 3, or 2 for key points of an image: (x, y, 0).
    """

    skeleton: Skeleton
    bodies: int
    frames: int
    dimensions: int = 3

    @property
    def joints(self) -> int:
        """V."""
        return self.skeleton.num_joints


def _quoted(text: str) -> str:
    """Return a text as a TOML string, which is JSON's but for one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _wrapped(items: list[str]) -> list[str]:
    """Return items of a list, each followed by a comma, as indented lines of about 100 characters."""
    lines = [" "]
    for item in items:
        if len(lines[-1]) + len(item) > 100:
            lines.append(" ")
        lines[-1] += f" {item},"
    return lines


_SINGLE = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
_KEYS = {"name", "joints", "parents", "parts", "centre", *_SINGLE}
_OPTIONAL = {"title", "source", "mirror"}
