"""Augmentations of a batch of joint clips, composed from a short string (docs/method.md#augmentations).

A pipeline is written ``crop(6)|shear(0.5)``: operations in order, each with all its numbers. Every
operation draws once for every clip from `skeltools.transforms.draws` and works on the whole batch on the
batch's device. Drawing (`draw`) and doing (`apply`) are apart, so that fixed draws can be tested.

2-D clips have no depth, their z is zero. Its `in_plane` says what an operation does with them; one without is
refused for them.

A new operation is one class with `name`, `parameters`, `draw` and `apply`, decorated with `register`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor

from skeltools.errors import SettingError, did_you_mean
from skeltools.skeletons import Skeleton
from skeltools.transforms.draws import Draws

Drawn = Mapping[str, Tensor]
"""What an operation drew: tensors whose first axis is the clip."""


@dataclass(frozen=True)
class Parameter:
    """One number of an operation, as written in the string.

    Attributes:
        name: What messages call it.
        low: Smallest value allowed.
        high: Largest value allowed.
        whole: Whether it must be a whole number.
        default: What it is where the string leaves it out, which its last numbers may; None where it must be there.
    """

    name: str
    low: float
    high: float
    whole: bool = False
    default: float | None = None


@dataclass(frozen=True)
class Word:
    """One word of an operation, as written in the string.

    Attributes:
        name: What messages call it.
        choices: The words there are; empty where the operation itself knows them.
    """

    name: str
    choices: tuple[str, ...] = ()


_PROBABILITY = Parameter("probability", 0, 1)


SAME = "the same as in space"


class Operation:
    """Base of the operations.

    Attributes:
        values: The numbers, in the order of `parameters`.
        words: The words, in that order; no augmentation has any.
        skeleton: That of the clips; None where none was given, which only operations that know no joint bear.
        flat: Whether the clips are 2-D.
        in_plane: What it does to 2-D clips, in words; empty where it needs depth and refuses them.
    """

    name: ClassVar[str]
    parameters: ClassVar[tuple[Parameter | Word, ...]]
    in_plane: ClassVar[str] = ""

    words: tuple[str, ...] = ()

    def __init__(self, *values: float, skeleton: Skeleton | None = None, flat: bool = False) -> None:
        self.values, self.skeleton, self.flat = values, skeleton, flat

    def draw(self, draws: Draws, x: Tensor) -> Drawn:
        """Return the draws for the clips of `x` (N, 3, T, V, M)."""
        raise NotImplementedError

    def apply(self, x: Tensor, drawn: Drawn) -> Tensor:
        """Return `x` transformed by `drawn`; `x` itself is not changed."""
        raise NotImplementedError


class Resize(Operation):
    """Base of the operations that resize some of the valid frames of a clip to all of its T.

    Their draws are ``start`` and ``length``, int64 (N,): the frames taken. A resized clip is valid throughout.
    """

    def draw(self, draws: Draws, x: Tensor) -> Drawn:
        return self.draw_valid(draws, torch.full((len(x),), x.shape[2], device=x.device))

    def draw_valid(self, draws: Draws, lengths: Tensor) -> Drawn:
        """Return the draws for clips whose first `lengths` frames are valid, int64 (N,)."""
        raise NotImplementedError

    def apply(self, x: Tensor, drawn: Drawn) -> Tensor:
        return resize(x, drawn["start"], drawn["length"], x.shape[2])


OPERATIONS: dict[str, type[Operation]] = {}
"""Every operation by the name it has in a pipeline string."""


def register(operation: type[Operation]) -> type[Operation]:
    """Make `operation` known under its name."""
    OPERATIONS[operation.name] = operation
    return operation


def _chosen(flag: Tensor, changed: Tensor, x: Tensor) -> Tensor:
    return torch.where(flag.view(-1, 1, 1, 1, 1), changed, x)


@register
class Crop(Operation):
    """Temporal crop: mirror floor(T / ratio) frames at both ends, take T frames from a uniform start.

    The mirror repeats the edge frame. Draws ``start`` in 0..2*floor(T / ratio), both included.
    """

    name = "crop"
    in_plane = SAME
    parameters = (Parameter("ratio", 1, 1000, whole=True),)

    def draw(self, draws: Draws, x: Tensor) -> Drawn:
        return {"start": draws.integers("crop", 0, 2 * (x.shape[2] // int(self.values[0])))}

    def apply(self, x: Tensor, drawn: Drawn) -> Tensor:
        frames = x.shape[2]
        source = torch.arange(frames, device=x.device) + (
            drawn["start"][:, None] - frames // int(self.values[0])
        )
        source = torch.where(source < 0, -1 - source, source)
        return take_frames(x, torch.where(source >= frames, 2 * frames - 1 - source, source))


@register
class CropResize(Resize):
    """Crop and resize: a uniform share low..high of the valid frames, at least `shortest`, from a uniform start."""

    name = "crop_resize"
    in_plane = SAME
    parameters = (
        Parameter("low", 0, 1),
        Parameter("high", 0, 1),
        Parameter("shortest", 1, 100_000, whole=True),
    )

    def __init__(self, *values: float, skeleton: Skeleton | None = None, flat: bool = False) -> None:
        super().__init__(*values, skeleton=skeleton, flat=flat)
        if values[0] > values[1]:
            raise SettingError(f"crop_resize: low {values[0]:g} is above high {values[1]:g}.")

    def draw_valid(self, draws: Draws, lengths: Tensor) -> Drawn:
        low, high, shortest = self.values
        share = draws.uniform("crop_resize share", 1, low, high)[:, 0]
        length = (lengths * share.double()).long().clamp(min=int(shortest)).minimum(lengths)
        return {"start": draws.integers("crop_resize start", 0, lengths - length), "length": length}


@register
class CentreResize(Resize):
    """Centre crop and resize: the middle `share` of the valid frames; draws nothing at random."""

    name = "centre_resize"
    in_plane = SAME
    parameters = (Parameter("share", 0, 1),)

    def draw_valid(self, draws: Draws, lengths: Tensor) -> Drawn:
        cut = ((1 - self.values[0]) * lengths.double() / 2).long().minimum((lengths - 1) // 2)
        return {"start": cut, "length": lengths - 2 * cut}


@register
class Shear(Operation):
    """Shear: the off-diagonal entries of a 3x3 matrix uniform in [-amplitude, amplitude], unit diagonal.

    Draws ``entries`` (N, 6); the matrix has rows [1, d0, d3], [d1, 1, d4], [d2, d5, 1] and multiplies the
    coordinate column.
    """

    name = "shear"
    in_plane = "x and y sheared by one another"
    parameters = (Parameter("amplitude", 0, 10),)

    def draw(self, draws: Draws, x: Tensor) -> Drawn:
        amplitude = self.values[0]
        return {"entries": draws.uniform("shear", 6, -amplitude, amplitude)}

    def apply(self, x: Tensor, drawn: Drawn) -> Tensor:
        d = drawn["entries"]
        if self.flat:  # neither from depth nor into it
            d = d * d.new_tensor([1, 1, 0, 0, 0, 0])
        one = torch.ones_like(d[:, 0])
        rows = (one, d[:, 0], d[:, 3], d[:, 1], one, d[:, 4], d[:, 2], d[:, 5], one)
        return _linear(torch.stack(rows, dim=1).view(-1, 3, 3), x)


@register
class Rotate(Operation):
    """Rotation: one random main axis by uniform 0..main degrees, the other two by 0..other degrees.

    Draws ``angles`` (N, 3), degrees about x, y and z, applied in that order.
    """

    name = "rotate"
    in_plane = "turned about the line of sight alone"
    parameters = (Parameter("main", 0, 360), Parameter("other", 0, 360))

    def draw(self, draws: Draws, x: Tensor) -> Drawn:
        main, other = self.values
        unit = draws.uniform("rotate", 3)
        axis = draws.integers("rotate axis", 0, 2)
        is_main = torch.arange(3, device=unit.device) == axis[:, None]
        return {"angles": unit * torch.where(is_main, main, other)}

    def apply(self, x: Tensor, drawn: Drawn) -> Tensor:
        angles = torch.deg2rad(drawn["angles"].to(x.dtype))
        return _linear(_rotation(_about_z(angles) if self.flat else angles), x)


@register
class RotateUniform(Operation):
    """Rotation: three angles uniform in [-limit, limit] radians. Draws ``angles`` (N, 3) about x, y and z, in order."""

    name = "rotate_uniform"
    in_plane = "turned about the line of sight alone"
    parameters = (Parameter("limit", 0, 3.2),)

    def draw(self, draws: Draws, x: Tensor) -> Drawn:
        return {"angles": draws.uniform("rotate_uniform", 3, -self.values[0], self.values[0])}

    def apply(self, x: Tensor, drawn: Drawn) -> Tensor:
        angles = drawn["angles"].to(x.dtype)
        return _linear(_rotation(_about_z(angles) if self.flat else angles), x)


@register
class RotateAxes(Operation):
    """Rotation: an angle about each axis, uniform in -x..x, -y..y and -z..z degrees.

    What another camera on the same floor sees is a turn about the vertical, the y axis, and little about the others.
    Draws ``angles`` (N, 3), degrees about x, y and z, applied in that order.
    """

    name = "rotate_axes"
    in_plane = "turned about the line of sight alone"
    parameters = (Parameter("x", 0, 180), Parameter("y", 0, 180), Parameter("z", 0, 180))

    def draw(self, draws: Draws, x: Tensor) -> Drawn:
        unit = draws.uniform("rotate_axes", 3, -1, 1).unbind(1)
        return {"angles": torch.stack([u * limit for u, limit in zip(unit, self.values, strict=True)], dim=1)}

    def apply(self, x: Tensor, drawn: Drawn) -> Tensor:
        angles = torch.deg2rad(drawn["angles"].to(x.dtype))
        return _linear(_rotation(_about_z(angles) if self.flat else angles), x)


@register
class Flip(Operation):
    """Spatial flip: left and right joints exchanged. Draws ``flag`` (N,)."""

    name = "flip"
    in_plane = SAME
    parameters = (_PROBABILITY,)

    def draw(self, draws: Draws, x: Tensor) -> Drawn:
        return {"flag": draws.chance("flip", self.values[0])}

    def apply(self, x: Tensor, drawn: Drawn) -> Tensor:
        if self.skeleton is None:
            raise ValueError("flip needs to know the skeleton of the clips")
        return _chosen(drawn["flag"], x.index_select(3, _mirror(self.skeleton, x.device)), x)


@register
class Reverse(Operation):
    """Time reversal. Draws ``flag`` (N,)."""

    name = "reverse"
    in_plane = SAME
    parameters = (_PROBABILITY,)

    def draw(self, draws: Draws, x: Tensor) -> Drawn:
        return {"flag": draws.chance("reverse", self.values[0])}

    def apply(self, x: Tensor, drawn: Drawn) -> Tensor:
        return _chosen(drawn["flag"], x.flip(2), x)


@register
class Noise(Operation):
    """Gaussian noise of `sigma` metres on every coordinate; a body that is absent throughout stays zero.

    Draws ``flag`` (N,) and ``noise`` (N, 3, T, V, M).
    """

    name = "noise"
    in_plane = "noise on x and y"
    parameters = (Parameter("sigma", 0, 100), _PROBABILITY)

    def draw(self, draws: Draws, x: Tensor) -> Drawn:
        noise = draws.normal("noise values", x[0].numel()).view(x.shape).to(x.dtype)
        return {"flag": draws.chance("noise", self.values[1]), "noise": noise}

    def apply(self, x: Tensor, drawn: Drawn) -> Tensor:
        present = (x != 0).flatten(1, 3).any(dim=1).view(-1, 1, 1, 1, x.shape[4])
        noise = drawn["noise"]
        if self.flat:
            noise = noise * noise.new_tensor([1, 1, 0]).view(3, 1, 1, 1)
        return _chosen(drawn["flag"], x + noise * (self.values[0] * present), x)


@register
class Blur(Operation):
    """Gaussian blur over time, sigma uniform in low..high frames; unit-sum kernel, edge frames repeated.

    Draws ``flag`` and ``sigma``, both (N,).
    """

    name = "blur"
    in_plane = SAME
    parameters = (
        Parameter("kernel", 1, 999, whole=True),
        Parameter("low", 1e-3, 1000),
        Parameter("high", 1e-3, 1000),
        _PROBABILITY,
    )

    def __init__(self, *values: float, skeleton: Skeleton | None = None, flat: bool = False) -> None:
        super().__init__(*values, skeleton=skeleton, flat=flat)
        if int(values[0]) % 2 == 0:
            raise SettingError(f"blur: kernel must be odd, not {values[0]:g}.")
        if values[1] > values[2]:
            raise SettingError(f"blur: low {values[1]:g} is above high {values[2]:g}.")

    def kernel(self, sigma: Tensor) -> Tensor:
        """Return the kernels (N, size) of sigmas (N,); each sums to 1."""
        radius = int(self.values[0]) // 2
        place = torch.arange(-radius, radius + 1, device=sigma.device, dtype=sigma.dtype)
        weight = torch.exp(-0.5 * (place / sigma[:, None]) ** 2)
        return weight / weight.sum(dim=1, keepdim=True)

    def draw(self, draws: Draws, x: Tensor) -> Drawn:
        _, low, high, probability = self.values
        sigma = draws.uniform("blur sigma", 1, low, high)[:, 0]
        return {"flag": draws.chance("blur", probability), "sigma": sigma}

    def apply(self, x: Tensor, drawn: Drawn) -> Tensor:
        clips, channels, frames = x.shape[:3]
        kernel = self.kernel(drawn["sigma"].to(x.dtype))  # (N, K)
        radius = kernel.shape[1] // 2
        time = torch.arange(frames, device=x.device)
        taps = torch.arange(-radius, radius + 1, device=x.device)
        source = (time[:, None] + taps).clamp(0, frames - 1)  # (T, K)
        matrix = x.new_zeros(clips, frames, frames).scatter_add_(
            2, source.expand(clips, -1, -1), kernel[:, None].expand(-1, frames, -1)
        )
        blurred = torch.matmul(matrix[:, None], x.reshape(clips, channels, frames, -1)).view(x.shape)
        return _chosen(drawn["flag"], blurred, x)


@register
class AxisMask(Operation):
    """Axis mask: one coordinate set to 0 throughout. Draws ``flag`` and ``axis``, both (N,)."""

    name = "axis_mask"
    in_plane = "x or y set to 0"
    parameters = (_PROBABILITY,)

    def draw(self, draws: Draws, x: Tensor) -> Drawn:
        return {
            "flag": draws.chance("axis_mask", self.values[0]),
            "axis": draws.integers("axis_mask axis", 0, 1 if self.flat else 2),
        }

    def apply(self, x: Tensor, drawn: Drawn) -> Tensor:
        hit = torch.arange(3, device=x.device) == drawn["axis"][:, None]
        keep = ~(hit & drawn["flag"][:, None])
        return x * keep.view(-1, 3, 1, 1, 1)


@cache
def _mirror(skeleton: Skeleton, device: torch.device) -> Tensor:
    return torch.tensor(skeleton.mirror, device=device)


def take_frames(x: Tensor, source: Tensor) -> Tensor:
    """Return the frames `source` (N, T) of each clip of x (N, C, T, V, M)."""
    clips, channels, frames = x.shape[:3]
    series = torch.arange(clips * channels, device=x.device).view(clips, channels, 1) * frames
    rows = (series + source[:, None]).flatten()
    taken = x.reshape(clips * channels * frames, -1).index_select(0, rows)
    return taken.view(clips, channels, -1, *x.shape[3:])


def resize(x: Tensor, start: Tensor, length: Tensor, frames: int) -> Tensor:
    """Return `length` frames of each clip from `start` on, both int64 (N,), as `frames` frames.

    Interpolation is linear with half-pixel centres; half a frame at each end repeats the edge.
    """
    centre = torch.arange(frames, device=x.device, dtype=torch.float64) + 0.5
    place = (centre * length[:, None] / frames - 0.5).clamp(min=0)  # (N, frames)
    before = place.long()
    after = torch.minimum(before + 1, length[:, None] - 1)
    share = (place - before).to(x.dtype)[:, None, :, None, None]
    first, second = (take_frames(x, start[:, None] + source) for source in (before, after))
    return torch.lerp(first, second, share)


def _about_z(angles: Tensor) -> Tensor:
    """Return angles (N, 3) about x, y and z without those that lead out of the plane."""
    return angles * angles.new_tensor([0, 0, 1])


def _rotation(angles: Tensor) -> Tensor:
    """Return matrices (N, 3, 3) that turn about x, then y, then z by `angles` (N, 3), radians."""
    cos, sin = torch.cos(angles), torch.sin(angles)
    zero, one = torch.zeros_like(cos[:, 0]), torch.ones_like(cos[:, 0])

    def matrix(*entries: Tensor) -> Tensor:
        return torch.stack(entries, dim=1).view(-1, 3, 3)

    (cx, cy, cz), (sx, sy, sz) = cos.unbind(1), sin.unbind(1)
    about_x = matrix(one, zero, zero, zero, cx, sx, zero, -sx, cx)
    about_y = matrix(cy, zero, -sy, zero, one, zero, sy, zero, cy)
    about_z = matrix(cz, sz, zero, -sz, cz, zero, zero, zero, one)
    return about_z @ about_y @ about_x


def _linear(matrix: Tensor, x: Tensor) -> Tensor:
    """Return matrix (N, 3, 3) times every coordinate column of x (N, 3, ...)."""
    return torch.bmm(matrix.to(x.dtype), x.reshape(len(x), 3, -1)).view(x.shape)


@dataclass(frozen=True)
class Pipeline:
    """Operations in order.

    Attributes:
        text: The string it was parsed from, verbatim.
        operations: The operations.
    """

    text: str
    operations: tuple[Operation, ...]

    def in_plane(self) -> str:
        """Say what the operations do to 2-D clips, in one line; empty where that is what they do in space."""
        told = dict.fromkeys(
            f"{item.name}: {item.in_plane}" for item in self.operations if item.flat and item.in_plane != SAME
        )
        return "; ".join(told)

    def __call__(self, x: Tensor, draws: Draws, lengths: Tensor | None = None) -> Tensor:
        """Return a view of every clip of `x` (N, 3, T, V, M); the input is not changed.

        Args:
            x: Joint clips.
            draws: Draws of these clips, scoped to the view.
            lengths: Valid frames of each clip, the first ones, int64 (N,), at least 1; None where all T are.
        """
        for place, operation in enumerate(self.operations):
            own = draws.scoped(str(place))
            if isinstance(operation, Resize) and lengths is not None:
                drawn, lengths = operation.draw_valid(own, lengths), None
            else:
                drawn = operation.draw(own, x)
            x = operation.apply(x, drawn)
        return x


_CALL = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\(([^()]*)\))?\s*", re.ASCII)


@dataclass(frozen=True)
class Vocabulary:
    """What a pipeline string is read by.

    Attributes:
        title: What messages call the string.
        operations: Every operation by its name.
        example: A string, for messages.
    """

    title: str
    operations: Mapping[str, type[Operation]]
    example: str


AUGMENTATIONS = Vocabulary("Augmentation", OPERATIONS, "crop(6)|shear(0.5)")


def parse(
    text: str,
    skeleton: Skeleton | None = None,
    dimensions: int = 3,
    known: Vocabulary = AUGMENTATIONS,
) -> Pipeline:
    """Return the pipeline written in `text`; ``none`` is the empty one.

    Args:
        text: Operations, as `Pipeline.text` has them.
        skeleton: That of the clips; may be left out where the text is only checked.
        dimensions: 3, or 2 for clips of key points.
        known: The operations.

    Raises:
        SettingError: Not of the form ``name(number, ...)|...``, an unknown operation (with a suggestion), a
            wrong number of values, a value out of bounds, or an operation that needs the depth 2-D clips lack.
    """
    if text.strip() == "none":
        return Pipeline(text, ())
    return Pipeline(
        text, tuple(_parse_one(part, text, skeleton, dimensions == 2, known) for part in text.split("|"))
    )


def _parse_one(part: str, text: str, skeleton: Skeleton | None, flat: bool, known: Vocabulary) -> Operation:
    told = f"{known.title} '{text}'"
    match = _CALL.fullmatch(part)
    if match is None:
        raise SettingError(
            f"{told}: cannot read '{part.strip()}'. Write operations as {known.example}, or none."
        )
    name, inside = match.group(1), match.group(2)
    if name not in known.operations:
        raise SettingError(
            f"{told}: unknown operation '{name}'. Choose one of: {', '.join(known.operations)}."
            f"{did_you_mean(name, known.operations)}"
        )
    kind = known.operations[name]
    written = [word.strip() for word in inside.split(",")] if inside and inside.strip() else []
    wanted = kind.parameters
    left = wanted[len(written) :]
    if len(written) > len(wanted) or any(isinstance(p, Word) or p.default is None for p in left):
        signature = f"{name}({', '.join(parameter.name for parameter in wanted)})"
        raise SettingError(f"{told}: write {signature}, not '{part.strip()}'.")
    given = list(zip(written, wanted, strict=False))
    words = tuple(_word(word, p, name, told) for word, p in given if isinstance(p, Word))
    values = [_number(word, p, name, told) for word, p in given if isinstance(p, Parameter)]
    values += [p.default for p in left if isinstance(p, Parameter) and p.default is not None]
    if flat and not kind.in_plane:
        able = ", ".join(other for other, found in known.operations.items() if found.in_plane)
        raise SettingError(
            f"{told}: {name} needs depth, which 2-D clips do not have. Of them can be made: {able}."
        )
    made = kind(*values, skeleton=skeleton, flat=True) if flat else kind(*values, skeleton=skeleton)
    made.words = words
    return made


def _word(word: str, parameter: Word, name: str, told: str) -> str:
    if parameter.choices and word not in parameter.choices:
        raise SettingError(
            f"{told}: {parameter.name} of {name} must be {' or '.join(parameter.choices)}, not '{word}'."
        )
    return word


def _number(word: str, parameter: Parameter, name: str, told: str) -> float:
    try:
        value = float(word)
    except ValueError:
        raise SettingError(f"{told}: {parameter.name} of {name} must be a number, not '{word}'.") from None
    if not parameter.low <= value <= parameter.high or (parameter.whole and value != int(value)):
        what = "a whole number" if parameter.whole else "a number"
        raise SettingError(
            f"{told}: {parameter.name} of {name} must be {what} from {parameter.low:g} to {parameter.high:g}, "
            f"not {word}."
        )
    return value
