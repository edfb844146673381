"""What goes wrong with clips outside the laboratory, composed from a short string, as augmentations are.

``noise(0.05)``, ``part(left arm)``, ``drop_frames(block,0.5)|turn(30)``: operations in order. Each is a pure function
of the clip and of draws that depend on its name alone (`draws_of`), so that everybody corrupts alike, whatever the
file, the batch and the number of processes. Severity 0 is the identity: ``noise(0)``, ``turn(0)``, ``crop(0)``.

A body that is absent throughout stays all zeros. Where clips are not in metres (`Space.metric`), a length is measured
in the body's own torso, mid-shoulders to mid-hips, which counts as 50 cm.

A new corruption is one class with `name`, `parameters`, `draw` and `apply`, decorated with `register`. In settings, a
number may be a list of severities, ``noise(0.01;0.02;0.05)``, and a body part ``each`` (`levels`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from skeltools.errors import SettingError, did_you_mean
from skeltools.skeletons import Skeleton
from skeltools.transforms import augment
from skeltools.transforms.augment import SAME, Drawn, Operation, Parameter, Pipeline, Vocabulary, Word
from skeltools.transforms.draws import Draws

if TYPE_CHECKING:
    from skeltools.formats.recording import Recording

TORSO = 0.5
"""Metres that a torso counts as where clips are not metric."""

BURST = 8
"""A joint is lost for an eighth of the clip at a time."""


@dataclass(frozen=True)
class Space:
    """In what the coordinates of clips are.

    Attributes:
        metric: Whether they are metres.
        vertical: The axis that points up: 0, 1 or 2.
    """

    metric: bool = True
    vertical: int = 1

    @classmethod
    def of(cls, preparation: dict[str, object]) -> Space:
        """Return that of clips prepared by a chain, from the attributes ``chain.*``.

        Kinect's y points up, and stays so but where the chain turns the spine to z.
        """
        return cls(
            metric=preparation.get("chain.scale", "none") == "none",
            vertical=2 if preparation.get("chain.rotation") == "axes" else 1,
        )


class Corruption(Operation):
    """Base of the corruptions.

    Attributes:
        space: In what the coordinates are.
        before: Whether it is done to the recording, before the preparation: `apply` then has nothing to do.
    """

    space: Space = Space()
    before: ClassVar[bool] = False

    def draw(self, draws: Draws, x: Tensor) -> Drawn:
        return {}

    def check(self) -> None:
        """Check what its words say against the skeleton.

        Raises:
            SettingError: They do not fit.
        """

    def idle(self, bodies: int) -> str | None:
        """Return why it changes no clip of so many bodies, or None."""
        return None


CORRUPTIONS: dict[str, type[Operation]] = {}
"""Every corruption by the name it has in a string."""

VOCABULARY = Vocabulary("Corruption", CORRUPTIONS, "noise(0.05)|turn(30)")


def register(kind: type[Corruption]) -> type[Corruption]:
    """Make a corruption known under its name."""
    CORRUPTIONS[kind.name] = kind
    return kind


_SHARE = Parameter("share", 0, 1)


def there(x: Tensor) -> Tensor:
    """Return where a body is in a frame, bool (N, 1, T, 1, M): where any of its coordinates is not zero."""
    return (x != 0).any(dim=3, keepdim=True).any(dim=1, keepdim=True)


def torso(x: Tensor, skeleton: Skeleton) -> Tensor:
    """Return the length of the first body's torso, the median over the frames that show it, (N,).

    One that no frame shows counts as 1.
    """
    ends = [
        x[..., list(joints), 0] for joints in (
            (skeleton.left_shoulder, skeleton.right_shoulder), (skeleton.left_hip, skeleton.right_hip),
        )
    ]  # fmt: skip
    shown = torch.stack([(end != 0).any(dim=1).all(dim=2) for end in ends]).all(dim=0)  # (N, T)
    length = (ends[0].mean(dim=3) - ends[1].mean(dim=3)).norm(dim=1)
    middle = torch.where(shown & (length > 0), length, torch.nan).nanmedian(dim=1).values
    return torch.where(middle.isnan(), torch.ones_like(middle), middle)


@register
class Noise(Corruption):
    """Gaussian noise of `sigma` metres on every coordinate of every joint of the bodies that are there."""

    name = "noise"
    in_plane = "noise on x and y"
    parameters = (Parameter("sigma", 0, 10),)

    def draw(self, draws: Draws, x: Tensor) -> Drawn:
        return {"noise": draws.normal("noise", x[0].numel()).view(x.shape).to(x.dtype)}

    def apply(self, x: Tensor, drawn: Drawn) -> Tensor:
        noise = drawn["noise"]
        if self.flat:
            noise = noise * noise.new_tensor([1, 1, 0]).view(3, 1, 1, 1)
        size = self.values[0] * there(x)
        if not self.space.metric:
            if self.skeleton is None:
                raise ValueError("noise on clips that are not metric needs to know their skeleton")
            size = size * (torso(x, self.skeleton) / TORSO).view(-1, 1, 1, 1, 1)
        return x + noise * size


@register
class Dropout(Corruption):
    """Joints lost for a while, each by itself, as Kinect loses them: `share` of the time, an eighth of the clip a time.

    A lost joint holds its last place (``hold``; before it was ever seen, its first one), or is zero (``zero``), which
    in centred clips is the centre.
    """

    name = "dropout"
    in_plane = SAME
    parameters = (Word("how", ("hold", "zero")), _SHARE)

    def draw(self, draws: Draws, x: Tensor) -> Drawn:
        clips, _, frames, joints, bodies = x.shape
        burst = math.ceil(frames / BURST)
        # A frame is lost where one of the `burst` frames up to it begins a loss; that has probability `share`.
        begin = 1 - (1 - self.values[0]) ** (1 / burst)
        count = (frames + burst - 1) * joints * bodies
        begins = draws.uniform("dropout", count).view(clips, frames + burst - 1, joints, bodies) < begin
        lost = begins.unfold(1, burst, 1).any(dim=-1)
        return {"lost": lost}

    def apply(self, x: Tensor, drawn: Drawn) -> Tensor:
        lost = drawn["lost"]  # (N, T, V, M)
        if self.words[0] == "zero":
            return x.masked_fill(lost[:, None], 0)
        source = _last_kept(~lost & there(x)[:, 0])
        held = x.gather(2, source[:, None].expand_as(x))
        return torch.where(there(x), held, x)


@register
class Part(Corruption):
    """A body part missing, all zeros, in a block of `share` of the frames, from a random start."""

    name = "part"
    in_plane = SAME
    parameters = (Word("part"), Parameter("share", 0, 1, default=1))

    def draw(self, draws: Draws, x: Tensor) -> Drawn:
        return {"hit": _block(draws, "part", x, self.values[0])}

    def apply(self, x: Tensor, drawn: Drawn) -> Tensor:
        if self.skeleton is None:
            raise ValueError("part needs to know the skeleton of the clips")
        parts = self.skeleton.parts
        of_part = torch.zeros(x.shape[3], dtype=torch.bool, device=x.device)
        of_part[list(parts[self.words[0]])] = True
        return x.masked_fill(drawn["hit"].view(len(x), 1, -1, 1, 1) & of_part.view(-1, 1), 0)

    def check(self) -> None:
        parts = {} if self.skeleton is None else self.skeleton.parts
        if self.skeleton is not None and self.words[0] not in parts:
            raise SettingError(
                f"Corruption: the skeleton {self.skeleton.name} has no part '{self.words[0]}'. Choose one of: "
                f"{', '.join(parts)}.{did_you_mean(self.words[0], parts)}"
            )


@register
class Second(Corruption):
    """The second person, and any further one, missing in a block of `share` of the frames, from a random start."""

    name = "second"
    in_plane = SAME
    parameters = (Parameter("share", 0, 1, default=1),)

    def draw(self, draws: Draws, x: Tensor) -> Drawn:
        return {"hit": _block(draws, "second", x, self.values[0])}

    def apply(self, x: Tensor, drawn: Drawn) -> Tensor:
        later = torch.arange(x.shape[4], device=x.device) > 0
        return x.masked_fill(drawn["hit"].view(len(x), 1, -1, 1, 1) & later, 0)

    def idle(self, bodies: int) -> str | None:
        return "clips have room for one person" if bodies < 2 else None


@register
class DropFrames(Corruption):
    """A share of the frames missing, at even distances, at random, or in one block; each shows the last that is not.

    At least one frame stays. Before the first that stays, the clip shows that one.
    """

    name = "drop_frames"
    in_plane = SAME
    parameters = (Word("how", ("uniform", "random", "block")), _SHARE)

    def draw(self, draws: Draws, x: Tensor) -> Drawn:
        frames = x.shape[2]
        missing = min(int(self.values[0] * frames), frames - 1)
        if self.words[0] == "block":
            return {"lost": _block(draws, "drop_frames", x, missing / frames)}
        if self.words[0] == "random":
            rank = draws.uniform("drop_frames", frames).argsort(dim=1, stable=True).argsort(dim=1)
            return {"lost": rank < missing}
        kept = torch.zeros(frames, dtype=torch.bool, device=x.device)
        stay = frames - missing
        kept[torch.arange(stay, device=x.device) * frames // stay] = True
        return {"lost": ~kept.expand(len(x), -1)}

    def apply(self, x: Tensor, drawn: Drawn) -> Tensor:
        return augment.take_frames(x, _last_kept(~drawn["lost"]))


@register
class Rate(Corruption):
    """A lower frame rate: every `factor`-th frame is kept, and those between are interpolated linearly."""

    name = "rate"
    in_plane = SAME
    parameters = (Parameter("factor", 1, 1000, whole=True),)

    def apply(self, x: Tensor, drawn: Drawn) -> Tensor:
        frames, factor = x.shape[2], int(self.values[0])
        place = torch.arange(frames, device=x.device)
        before = place // factor * factor
        after = torch.where(before + factor < frames, before + factor, before)
        share = ((place - before).to(x.dtype) / factor).view(-1, 1, 1)
        mixed = torch.lerp(x[:, :, before], x[:, :, after], share)
        # A body that one of the two frames lacks is not drawn to the origin: it is as in the frame before.
        both = there(x[:, :, before]) & there(x[:, :, after])
        return torch.where(both, mixed, x[:, :, before])


@register
class Shift(Corruption):
    """Time moved by `share` of the clip, forward or back; the frame at the end that is bared is repeated."""

    name = "shift"
    in_plane = SAME
    parameters = (_SHARE,)

    def draw(self, draws: Draws, x: Tensor) -> Drawn:
        sign = 2 * draws.integers("shift", 0, 1) - 1
        return {"offset": sign * round(self.values[0] * x.shape[2])}

    def apply(self, x: Tensor, drawn: Drawn) -> Tensor:
        frames = x.shape[2]
        source = torch.arange(frames, device=x.device) + drawn["offset"][:, None]
        return augment.take_frames(x, source.clamp(0, frames - 1))


@register
class Crop(Corruption):
    """`share` of the clip cut off, from a random start on; what is left is resized to all T frames."""

    name = "crop"
    in_plane = SAME
    parameters = (_SHARE,)

    def draw(self, draws: Draws, x: Tensor) -> Drawn:
        frames = x.shape[2]
        length = max(1, round((1 - self.values[0]) * frames))
        start = draws.integers("crop", 0, frames - length)
        return {"start": start, "length": torch.full_like(start, length)}

    def apply(self, x: Tensor, drawn: Drawn) -> Tensor:
        return augment.resize(x, drawn["start"], drawn["length"], x.shape[2])


@register
class Turn(Corruption):
    """A camera turned by `degrees` about the vertical, one way or the other, in the preparation's own axes."""

    name = "turn"
    parameters = (Parameter("degrees", 0, 360),)

    def draw(self, draws: Draws, x: Tensor) -> Drawn:
        sign = 2 * draws.integers("turn", 0, 1) - 1
        return {"angle": torch.deg2rad(sign.float() * self.values[0])}

    def apply(self, x: Tensor, drawn: Drawn) -> Tensor:
        one, other = (axis for axis in range(3) if axis != self.space.vertical)
        cos, sin = (part(drawn["angle"]).to(x.dtype).view(-1, 1, 1, 1) for part in (torch.cos, torch.sin))
        turned = x.clone()
        turned[:, one] = cos * x[:, one] - sin * x[:, other]
        turned[:, other] = sin * x[:, one] + cos * x[:, other]
        return turned


@register
class Camera(Turn):
    """The same before the preparation, on recordings that were kept (`turn_recording`)."""

    name = "camera"
    before = True

    def apply(self, x: Tensor, drawn: Drawn) -> Tensor:
        return x


@register
class Mirror(Corruption):
    """Left and right exchanged in `share` of the clips: joints change names, and x its sign."""

    name = "mirror"
    in_plane = SAME
    parameters = (Parameter("share", 0, 1, default=1),)

    def draw(self, draws: Draws, x: Tensor) -> Drawn:
        return {"flag": draws.chance("mirror", self.values[0])}

    def apply(self, x: Tensor, drawn: Drawn) -> Tensor:
        if self.skeleton is None:
            raise ValueError("mirror needs to know the skeleton of the clips")
        mirrored = x.index_select(3, torch.tensor(self.skeleton.mirror, device=x.device))
        mirrored = mirrored * mirrored.new_tensor([-1, 1, 1]).view(3, 1, 1, 1)
        return torch.where(drawn["flag"].view(-1, 1, 1, 1, 1), mirrored, x)


@register
class Smooth(Corruption):
    """A sensor's smoothing, which lags behind: each frame is `keep` of the one before and the rest of its own."""

    name = "smooth"
    in_plane = SAME
    parameters = (Parameter("keep", 0, 1),)

    def apply(self, x: Tensor, drawn: Drawn) -> Tensor:
        keep, present = self.values[0], there(x)
        frames = [x[:, :, 0]]
        for at in range(1, x.shape[2]):
            mixed = torch.lerp(x[:, :, at], frames[-1], keep)
            known = present[:, :, at] & present[:, :, at - 1]  # who comes in is not drawn from the origin
            frames.append(torch.where(known, mixed, x[:, :, at]))
        return torch.stack(frames, dim=2)


def _block(draws: Draws, purpose: str, x: Tensor, share: float) -> Tensor:
    """Return a block of `share` of the frames from a random start on, bool (N, T)."""
    frames = x.shape[2]
    length = round(share * frames)
    start = draws.integers(purpose, 0, frames - length)[:, None]
    place = torch.arange(frames, device=x.device)
    return (place >= start) & (place < start + length)


def _last_kept(kept: Tensor) -> Tensor:
    """Return for each frame the last one up to it that is kept, else the first that is, int64; the time axis is 1.

    Where none is kept, each stands for itself.
    """
    frames = kept.shape[1]
    place = torch.arange(frames, device=kept.device).view(1, -1, *(1,) * (kept.ndim - 2)).expand_as(kept)
    last = torch.where(kept, place, -1).cummax(dim=1).values
    first = kept.int().argmax(dim=1, keepdim=True).expand_as(place)
    return torch.where(kept.any(dim=1, keepdim=True), torch.where(last < 0, first, last), place)


def draws_of(names: Sequence[str], seed: int = 0, device: torch.device | str = "cpu") -> Draws:
    """Return the draws of clips, which depend on their names and the seed alone."""
    words = [hashlib.sha256(name.encode()).digest()[:8] for name in names]
    numbers = [int.from_bytes(word, "little") >> 1 for word in words]
    return Draws(seed, 0, torch.tensor(numbers, dtype=torch.int64, device=device), "corrupt/")


def parse(
    text: str, skeleton: Skeleton | None = None, dimensions: int = 3, space: Space = Space()
) -> Pipeline:
    """Return the corruption written in `text`; ``none`` is the identity. Called with `draws_of`, it corrupts clips.

    Args:
        text: Operations, such as ``noise(0.05)|turn(30)``.
        skeleton: That of the clips; may be left out where the text is only checked.
        dimensions: 3, or 2 for clips of key points.
        space: In what the coordinates are.

    Raises:
        SettingError: As `skeltools.transforms.augment.parse`; or the skeleton has no such part.
    """
    found = augment.parse(text, skeleton, dimensions, VOCABULARY)
    for operation in found.operations:
        assert isinstance(operation, Corruption)
        operation.space = space
        operation.check()
    return found


EACH = "each"
"""In place of a body part: every one of the skeleton."""


@dataclass(frozen=True)
class Family:
    """One corruption at several severities.

    Attributes:
        name: The string without its severities, such as ``noise`` or ``dropout(hold)``.
        severities: The numbers in their place, one per level.
        texts: The strings, one a level.
    """

    name: str
    severities: tuple[str, ...]
    texts: tuple[str, ...]


def levels(text: str, skeleton: Skeleton) -> list[Family]:
    """Return the families that a string with severities stands for: one, or with ``each`` one per body part.

    Args:
        text: A string such as ``dropout(hold,0.1;0.2;0.4)``; several lists in it go together.
        skeleton: Whose parts ``each`` are.

    Raises:
        SettingError: Lists of several lengths, or a string that cannot be read.
    """
    if f"({EACH}" in text:
        return [family for part in skeleton.parts for family in levels(text.replace(EACH, part), skeleton)]
    lists = [word for call in text.split("|") for word in _inside(call) if ";" in word]
    counts = {word.count(";") + 1 for word in lists}
    if len(counts) > 1:
        raise SettingError(f"Corruption '{text}': its lists of severities have several lengths.")
    texts, severities = [], []
    for place in range(counts.pop() if counts else 1):
        made = text
        for word in lists:
            made = made.replace(word, word.split(";")[place].strip(), 1)
        parse(made, skeleton)
        texts.append(made.strip())
        severities.append(" ".join(word.split(";")[place].strip() for word in lists))
    name = text
    for word in lists:
        name = name.replace(f",{word}", "").replace(word, "")
    return [Family(name.replace("()", "").strip(), tuple(severities), tuple(texts))]


def _inside(call: str) -> list[str]:
    return call.partition("(")[2].rpartition(")")[0].split(",")


def turn_recording(recording: Recording, degrees: float) -> Recording:
    """Return a recording as a camera saw it that is turned about the vertical through the bodies' mean place.

    Args:
        recording: What was recorded, y up. Joints at the origin, which were not seen, stay there.
        degrees: By how much.
    """
    import numpy as np

    coords = recording.coords.astype(np.float64)
    seen = (coords != 0).any(axis=2)
    if not seen.any() or degrees == 0:
        return recording
    middle = coords[seen].mean(axis=0) * (1, 0, 1)
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    matrix = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    turned = (coords - middle) @ matrix.T + middle
    return replace(recording, coords=np.where(seen[..., None], turned, 0).astype(np.float32))
