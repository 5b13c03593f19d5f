"""Fisher vectors over a mixture of Gaussians with diagonal covariances (Perronnin, Sánchez, Mensink 2010)."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.features.aggregated.vlad import nearest_centres
from metricsearch.features.extras import scikit_learn
from metricsearch.features.normalisation import signed_root, unit_length
from metricsearch.validation import check_vectors

_CYCLES = 100
_LEAST_VARIANCE = 1e-3  # of the mean variance: a Gaussian on equal descriptors keeps a width


def fisher(descriptors: Any, weights: Any, means: Any, variances: Any, improved: bool) -> NDArray[np.float32]:
    """Gradients by the means, u (K, d), then by the deviations, v (K, d), of all Gaussians: (2*K*d,) float32.

        g_ik = w_k N(x_i; m_k, s_k^2) / sum_t w_t N(x_i; m_t, s_t^2)
        u_jk = 1 / (N sqrt(w_k))   sum_i g_ik (x_ij - m_jk) / s_jk
        v_jk = 1 / (N sqrt(2 w_k)) sum_i g_ik (((x_ij - m_jk) / s_jk)^2 - 1)

    descriptors: (N, d) numbers, taken as float32; N = 0 gives zeros. weights: (K,) > 0; means, variances: (K, d),
    variances s^2 > 0. improved: sign(z) sqrt(|z|), then unit length. Spec: vocabulary_tree.md §5.6.
    Raises InvalidInputError.
    """
    weight, mean, variance = (np.asarray(array, dtype=np.float64) for array in (weights, means, variances))
    _check_mixture(weight, mean, variance)
    x = check_vectors(descriptors, "descriptors", mean.shape[1]).astype(np.float64)
    if not len(x):
        return np.zeros(2 * mean.size, dtype=np.float32)
    middle = mean.mean(axis=0)  # differences only matter; around it the products below lose no digits
    x, mean = x - middle, mean - middle
    posterior = _posterior(x, weight, mean, variance)
    zeroth = posterior.sum(axis=0)[:, None]
    first, second = posterior.T @ x, posterior.T @ x**2
    u = (first - zeroth * mean) / np.sqrt(variance)
    v = (second - 2 * mean * first + mean**2 * zeroth) / variance - zeroth
    scale = len(x) * np.sqrt(weight)[:, None]
    vector = np.concatenate([(u / scale).ravel(), (v / (np.sqrt(2) * scale)).ravel()])
    return (unit_length(signed_root(vector)) if improved else vector).astype(np.float32)


def fit_mixture(sample: NDArray[np.float32], centres: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """weights (K,), means (K, d), variances (K, d) of the Gaussians that scikit-learn's EM finds from k-means centres.

    sample: (n, d); centres: (K, d), the start. Without random numbers. Raises MissingExtraError.
    """
    x = sample.astype(np.float64)
    labels = nearest_centres(sample, centres)
    counts = np.maximum(np.bincount(labels, minlength=len(centres)), 1)[:, None]
    sums, squares = np.zeros(centres.shape), np.zeros(centres.shape)
    np.add.at(sums, labels, x)
    np.add.at(squares, labels, x**2)
    floor = _LEAST_VARIANCE * float(x.var(axis=0).mean())
    variances = np.maximum(squares / counts - (sums / counts) ** 2, 0) + floor
    mixture = scikit_learn("mixture").GaussianMixture(
        len(centres),
        covariance_type="diag",
        reg_covar=floor,
        max_iter=_CYCLES,
        weights_init=counts.ravel() / counts.sum(),
        means_init=centres.astype(np.float64),
        precisions_init=1 / variances,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged yet: the mixture of the last cycle is as good as any
        mixture.fit(x)
    return {"weights": mixture.weights_, "means": mixture.means_, "variances": mixture.covariances_}


def _posterior(
    x: NDArray[np.float64], weight: NDArray[np.float64], mean: NDArray[np.float64], variance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """g (N, K); computed from logarithms, since densities of many dimensions underflow."""
    squares = x**2 @ (1 / variance).T - 2 * x @ (mean / variance).T + (mean**2 / variance).sum(axis=1)
    logs = np.log(weight) - 0.5 * (squares + np.log(variance).sum(axis=1))
    logs -= logs.max(axis=1, keepdims=True)
    densities = np.exp(logs)
    posterior: NDArray[np.float64] = densities / densities.sum(axis=1, keepdims=True)
    return posterior


def _check_mixture(weight: NDArray[np.float64], mean: NDArray[np.float64], variance: NDArray[np.float64]) -> None:
    if mean.ndim != 2 or not mean.size or weight.shape != mean.shape[:1] or variance.shape != mean.shape:
        raise InvalidInputError(
            "mixture: expected weights (K,), means (K, d), variances (K, d), got shapes "
            f"{weight.shape}, {mean.shape}, {variance.shape}"
        )
    for name, values, allowed in (("weights", weight, weight > 0), ("variances", variance, variance > 0)):
        if not (allowed & np.isfinite(values)).all():
            raise InvalidInputError(f"{name}: expected finite numbers > 0, got {values[~allowed][:1] or values.max()}")
    if not np.isfinite(mean).all():
        raise InvalidInputError("means: expected finite numbers, got NaN or infinity")
