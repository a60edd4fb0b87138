"""Muon: every kernel moves along all directions of its momentum alike."""

import math
from collections import defaultdict
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

BETA = 0.95
"""Share of the old momentum that is kept at each step."""

STEPS = 5
"""Newton-Schulz steps."""

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the polynomial that moves every singular value towards 1 fastest from zero; it ends between about 0.7 and 1.2."""


class MuonState(NamedTuple):
    """What Muon carries from one step to the next.

    Attributes:
        step: Steps done.
        momentum: The moving average of the gradients.
    """

    step: Int[Array, ""]
    momentum: PyTree


def scale_by_muon(*, rms: float) -> optax.GradientTransformation:
    """Muon's direction for a tree of kernels.

    A kernel is taken as a matrix of (window times channels in) rows and (channels out) columns. With its gradient G and
    the moving average V of the gradients, both freed of their bias towards zero, the momentum M looks one step ahead,
    and the direction is

        V <- 0.95 V + 0.05 G,    M = 0.95 V + 0.05 G,    rms sqrt(max(rows, columns)) orthogonal(M)

    An orthogonal matrix has entries with a root mean square of 1 / sqrt(max(rows, columns)), hence the factor.

    Args:
        rms: Root mean square of the direction's entries.

    References:
        Jordan et al. (2024), Muon: An optimizer for hidden layers in neural networks; Liu et al. (2025), Muon is
        scalable for LLM training, section 2.2, for the factor.
    """

    def init(params: optax.Params) -> MuonState:
        return MuonState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, params))

    def update(
        gradients: optax.Updates, state: MuonState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, MuonState]:
        step = state.step + 1
        momentum = jax.tree.map(lambda v, g: BETA * v + (1 - BETA) * g, state.momentum, gradients)
        ahead, now = 1 - BETA ** (step + 1.0), 1 - BETA ** step.astype(jnp.float32)
        nesterov = jax.tree.map(lambda v, g: BETA * v / ahead + (1 - BETA) * g / now, momentum, gradients)
        kernels, tree = jax.tree.flatten(nesterov)
        matrices = orthogonal([k.reshape(-1, k.shape[-1]) for k in kernels])
        directions = [
            rms * math.sqrt(max(matrix.shape)) * matrix.reshape(k.shape)
            for matrix, k in zip(matrices, kernels, strict=True)
        ]
        return jax.tree.unflatten(tree, directions), MuonState(step, momentum)

    return optax.GradientTransformation(init, update)


def orthogonal(matrices: list[Float[Array, "_ _"]]) -> list[Float[Array, "_ _"]]:
    """The nearly orthogonal matrices of the same singular vectors: M = U S V^T becomes about U V^T.

    By five Newton-Schulz steps with the odd polynomial of Jordan et al. They are taken on the Gram matrix A of the
    shorter side alone, m x m, and M is multiplied once at the end:

        A = M^T M / |M|^2,    Q = I;    five times: P = a I + b A + c A^2, Q <- Q P, A <- P A P;    M Q / |M|

    which is the same, since all these commute, at a third of the work where M is long. Matrices of one m go together,
    with rows of zeros under the shorter ones: each operation is then compiled and started once for all of them.

    Args:
        matrices: Of any shapes.

    Example:
        >>> orthogonal([jnp.diag(jnp.array([100.0, 1.0]))])[0].round(1)
        Array([[0.7, 0. ],
               [0. , 0.7]], dtype=float32)
    """
    tall = [m.T if m.shape[0] < m.shape[1] else m for m in matrices]
    by_side: dict[int, list[int]] = defaultdict(list)
    for place, m in enumerate(tall):
        by_side[m.shape[1]].append(place)
    found: dict[int, Array] = {}
    for side, places in by_side.items():
        rows = max(len(tall[place]) for place in places)
        stack = jnp.stack([jnp.pad(tall[place], ((0, rows - len(tall[place])), (0, 0))) for place in places])
        stack /= jnp.linalg.norm(stack, axis=(1, 2), keepdims=True) + 1e-8
        stack @= _newton_schulz(jnp.swapaxes(stack, 1, 2) @ stack, side)
        found |= {place: stack[i, : len(tall[place])] for i, place in enumerate(places)}
    return [found[place].T if m.shape[0] < m.shape[1] else found[place] for place, m in enumerate(matrices)]


def _newton_schulz(gram: Float[Array, "n m m"], side: int) -> Float[Array, "n m m"]:
    """The factors Q of Gram matrices A."""
    a, b, c = COEFFICIENTS
    identity = jnp.eye(side)

    def step(_: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        gram, factor = carry
        polynomial = a * identity + b * gram + c * gram @ gram
        return polynomial @ gram @ polynomial, factor @ polynomial

    return jax.lax.fori_loop(0, STEPS, step, (gram, jnp.broadcast_to(identity, gram.shape)))[1]
