"""Two dimensions of a run's features, for pictures: which clips, and PCA or t-SNE of them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from skeltools.datasets import subsets
from skeltools.errors import DataError, SettingError, did_you_mean
from skeltools.runs.folder import check_seed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from skeltools.store import ClipFile

METHODS = ("tsne", "pca")
"""t-SNE (van der Maaten and Hinton, 2008) and principal components, both of scikit-learn."""

PERPLEXITY = 30.0


def sample(file: ClipFile, rows: NDArray[np.int64], most: int, seed: int = 0) -> NDArray[np.int64]:
    """Return at most `most` of some rows, spread over their classes; which ones depends on names and seed.

    Classes are served in turn, so that a small class keeps its clips and a large one loses most.

    Args:
        file: The file.
        rows: Rows, int64 (n,).
        most: How many to keep.
        seed: Seed of the choice.

    Returns:
        Rows, increasing.

    Raises:
        DataError: There is no row.
    """
    if len(rows) == 0:
        raise DataError(f"{file.path} has no clip to draw here.")
    if len(rows) <= most:
        return np.sort(rows)
    labels = file.labels
    ranked = sorted(rows.tolist(), key=lambda row: subsets.rank(file.names[row], seed))
    turn: dict[int, int] = {}
    order = []
    for row in ranked:
        label = int(labels[row])
        turn[label] = turn.get(label, 0) + 1
        order.append((turn[label], row))
    order.sort(key=lambda item: item[0])
    return np.array(sorted(row for _, row in order[:most]), np.int64)


def check_method(method: str) -> None:
    """Check that there is such a method.

    Raises:
        SettingError: There is none.
    """
    if method not in METHODS:
        raise SettingError(
            f"Unknown method '{method}'. Choose one of: {', '.join(METHODS)}.{did_you_mean(method, METHODS)}"
        )


def project(features: NDArray[np.float32], method: str, seed: int = 0) -> NDArray[np.float32]:
    """Return features (n, D) as float32 (n, 2).

    Features are standardised first. t-SNE starts from the principal components, so that it is a function of
    features and seed.

    Args:
        features: Features.
        method: One of `METHODS`.
        seed: Seed of t-SNE.

    Raises:
        SettingError: Unknown method, or a seed that t-SNE does not take.
        DataError: Fewer than three clips.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    check_method(method)
    check_seed(seed)
    flat, _ = _components(features)
    if method == "tsne":
        perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
        # One thread: the same picture on every machine, and no waiting for cores that others use.
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore")
            flat = TSNE(perplexity=perplexity, init="pca", random_state=seed, n_jobs=1).fit_transform(flat)
    return np.asarray(flat[:, :2], np.float32)


def explained(features: NDArray[np.float32]) -> tuple[float, float]:
    """Return the shares of the variance of features (n, D) that the first two components hold, in [0, 1].

    Of the standardised features, as `project` takes them; 0 where there is no variance.

    Raises:
        DataError: Fewer than three clips.
    """
    _, shares = _components(features)
    return shares


def _components(features: NDArray[np.float32]) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """Return at most 50 principal components of standardised features, and the first two's shares of the variance."""
    from sklearn.decomposition import PCA

    if len(features) < 3:
        raise DataError(f"An embedding needs three clips at least, not {len(features)}.")
    values = np.asarray(features, np.float64)
    spread = values.std(axis=0)
    values = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    places = min(50, *values.shape)
    with np.errstate(invalid="ignore"):  # equal features have no variance to explain
        found = PCA(places, svd_solver="full")
        flat = found.fit_transform(values)
    shares = [*np.nan_to_num(found.explained_variance_ratio_).tolist(), 0.0]
    if flat.shape[1] < 2:
        flat = np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))
    return flat, (shares[0], shares[1])
