"""The 25-joint Kinect v2 skeleton: joints, bones, body parts, mirror pairs and graph (spec section 1).

The one home of these facts; every other module imports them from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

JOINTS: tuple[str, ...] = (
    "spine base", "spine mid", "neck", "head",
    "left shoulder", "left elbow", "left wrist", "left hand",
    "right shoulder", "right elbow", "right wrist", "right hand",
    "left hip", "left knee", "left ankle", "left foot",
    "right hip", "right knee", "right ankle", "right foot",
    "spine shoulder", "left hand tip", "left thumb", "right hand tip", "right thumb",
)  # fmt: skip
"""Joint names by 0-based index."""

NUM_JOINTS = len(JOINTS)
NUM_BODIES = 2
"""Bodies a clip holds; an absent body is all zeros."""

CENTRE_JOINT = JOINTS.index("spine shoulder")
"""The joint that preparation subtracts from every joint of the same frame and body."""

LEFT_SHOULDER = JOINTS.index("left shoulder")
RIGHT_SHOULDER = JOINTS.index("right shoulder")

PARENTS: tuple[int, ...] = (
    1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 20, 22, 7, 24, 11,
)  # fmt: skip
"""Parent of each joint. Joint 20 is the root and its own parent, so its bone is zero."""

PARTS: dict[str, tuple[int, ...]] = {
    "trunk": (3, 2, 20, 1, 0),
    "right arm": (8, 9, 10, 11, 23, 24),
    "left arm": (4, 5, 6, 7, 21, 22),
    "right leg": (16, 17, 18, 19),
    "left leg": (12, 13, 14, 15),
}
"""The five body parts that partition the joints, in the order the method numbers them."""

MIRROR: tuple[int, ...] = (
    0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 16, 17, 18, 19, 12, 13, 14, 15, 20, 23, 24, 21, 22,
)  # fmt: skip
"""The joint on the other side of the body; a permutation that is its own inverse."""


def bones() -> list[tuple[int, int]]:
    """Return the 24 directed bones (joint, parent), the graph's inward edges."""
    return [(joint, parent) for joint, parent in enumerate(PARENTS) if joint != parent]


def graph() -> NDArray[np.float32]:
    """Return the spatial graph A as float32 (3, 25, 25): identity, inward, outward.

    A block computes ``out[w] = sum over k, v of x_k[v] * A[k, v, w]``. Inward and outward are divided
    by their column sums; columns of zeros stay zero. Source: spec section 1.
    """
    import numpy as np

    inward = np.zeros((NUM_JOINTS, NUM_JOINTS))
    for joint, parent in bones():
        inward[parent, joint] = 1.0
    stacked = np.stack([np.eye(NUM_JOINTS), inward, inward.T])
    for part in stacked[1:]:
        sums = part.sum(axis=0)
        part /= np.where(sums > 0, sums, 1.0)
    return stacked.astype(np.float32)
