"""What a backbone is: clips in, a token map and a global feature out."""

from __future__ import annotations

from typing import Any, ClassVar, Self, cast

from torch import Tensor, nn

from skeltools.skeletons import Form


class Backbone(nn.Module):
    """Base of the backbones.

    Attributes:
        settings: Dataclass of the ``model.*`` settings that the backbone reads, declared with
            `skeltools.settings.setting`; values come from a recipe.
        feature_dim: D, channels of a token and of the global feature.
        head_dim: Hidden size of the projection head.
        bodies: Sequences that a clip becomes: M, or 1 where all bodies are read at once.
        token_joints: V, where a sequence's tokens are T' times of V joints each, time slowest; else 0.
    """

    settings: ClassVar[type]
    feature_dim: int
    head_dim: int
    bodies: int = 1
    token_joints: int = 0

    @classmethod
    def build(cls, settings: Any, form: Form) -> Self:
        """Return the backbone of ``model.*`` settings for clips of `form`; weights are not yet initialised."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Return the token map of clips.

        Args:
            x: (N, 3, T, V, M) float32.

        Returns:
            (N * bodies, L, D): L tokens per sequence. A backbone that reads all bodies at once has bodies = 1.
        """
        raise NotImplementedError

    def pool(self, tokens: Tensor) -> Tensor:
        """Return one vector per clip, (N, D), from tokens (N * bodies, L, D). Linear in the tokens."""
        raise NotImplementedError

    def features(self, x: Tensor) -> Tensor:
        """Return the global feature (N, D) of clips (N, 3, T, V, M).

        A backbone may take a shorter way here than `forward` and `pool`, to the same result.
        """
        return self.pool(self(x))

    def token_map(self, tokens: Tensor) -> Tensor:
        """Return tokens (N * bodies, L, D) as (N, bodies, T', V, D), where `token_joints` says that they are that."""
        return tokens.reshape(
            -1, self.bodies, tokens.shape[1] // self.token_joints, self.token_joints, tokens.shape[2]
        )

    def layers(self) -> list[list[nn.Parameter]]:
        """Return the weights in layers from input to output, for rates that differ by depth; none if unknown.

        What is in no layer is trained like the head that follows.
        """
        return []

    def set_drop_path(self, most: float) -> bool:
        """Let training skip branches of blocks at random, with a probability that rises linearly to `most`.

        Returns:
            Whether the backbone can. It is 0 until this is called, and of no effect in eval mode.
        """
        return False

    def reset(self) -> None:
        """Start weights that need another start than `initialise` gives. Called after it."""


class ExtentBackbone(Backbone):
    """A backbone that also takes how much of each clip is real; the others take `x` alone.

    What is not given counts as real, but for a body that is all zeros, which is absent.
    """

    def forward(self, x: Tensor, lengths: Tensor | None = None, bodies: Tensor | None = None) -> Tensor:
        """Return the token map of clips, as `Backbone.forward` does.

        Args:
            x: (N, 3, T, V, M) float32.
            lengths: Valid frames of each clip, int64 (N,).
            bodies: Which bodies are there, bool (N, M).
        """
        raise NotImplementedError

    def features(self, x: Tensor, lengths: Tensor | None = None, bodies: Tensor | None = None) -> Tensor:
        """Return the global feature (N, D) of clips."""
        return self.pool(self(x, lengths, bodies))


def initialise(module: nn.Module) -> None:
    """Start the weights of a whole model.

    Convolutions and linear layers N(0, 0.02) with zero bias; batch norm weight N(1, 0.02) with zero bias.
    Uses torch's global generator. Backbones then `reset` what they start differently. Weights on the meta device
    have no values to start.
    """
    for part in module.modules():
        if any(weight.is_meta for weight in part.parameters(recurse=False)):
            continue  # torch would draw nothing, and slowly
        if isinstance(part, (nn.Conv1d, nn.Conv2d, nn.Linear)) or getattr(part, "is_convolution", False):
            nn.init.normal_(cast(Tensor, part.weight), 0.0, 0.02)
            if part.bias is not None:
                nn.init.zeros_(cast(Tensor, part.bias))
        elif isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.normal_(part.weight, 1.0, 0.02)
            nn.init.zeros_(part.bias)
    for part in module.modules():
        if isinstance(part, Backbone):
            part.reset()
