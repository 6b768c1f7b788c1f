"""Normalizations of Section 2, on the way to batch normalization: by statistics that gradient descent may not
know of, and whitening. All take and give (N, C), without gamma and beta.
"""

import torch
from torch import Tensor, nn

from bnbook.nn.gradient import once_differentiable

NORMALIZATIONS = ("none", "mean", "mean_std", "whiten")


class Normalization(nn.Module):
    """Normalizes by the mini-batch's own statistics, in training and in evaluation alike.

    "mean" subtracts the mean, "mean_std" divides by the standard deviation too, "whiten" gives the identity
    as covariance (ZCA). With `ignored` the statistics count as constants in the gradient: the step that
    Section 2 warns of.
    """

    def __init__(self, kind: str, ignored: bool, eps: float = 1e-5):
        super().__init__()
        if kind not in NORMALIZATIONS:
            raise ValueError(f"normalization is {kind!r}; it must be one of {', '.join(NORMALIZATIONS)}")
        self.kind, self.ignored, self.eps = kind, ignored, eps

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "none":
            return x
        seen = x.detach() if self.ignored else x
        centred = x - seen.mean(0)
        if self.kind == "mean":
            return centred
        if self.kind == "mean_std":
            return centred / (seen.var(0, unbiased=False) + self.eps).sqrt()
        return centred @ inverse_root(covariance(seen, self.eps))


def covariance(x: Tensor, eps: float) -> Tensor:
    """(N, C) -> (C, C): the biased covariance, with `eps` added to the variances."""
    centred = x - x.mean(0)
    return centred.T @ centred / len(x) + eps * torch.eye(x.shape[1], dtype=x.dtype)


class InverseRoot(torch.autograd.Function):
    """A^(-1/2) of a symmetric positive matrix (C, C), by its eigenvalues.

    Differentiating the eigenvectors would divide by differences of eigenvalues, which may be equal. The
    derivative of the function itself (Daleckii and Krein) has only sums there: with l the eigenvalues and U
    the eigenvectors, dl/dA = U (F * (U' G U)) U', F_ij = -1 / (sqrt(l_i l_j) (sqrt(l_i) + sqrt(l_j))).
    """

    @staticmethod
    def forward(ctx, matrix: Tensor) -> Tensor:
        try:
            values, vectors = torch.linalg.eigh(matrix)
        except torch.linalg.LinAlgError:  # of numbers that have run away: so does the loss
            values, vectors = torch.full_like(matrix[0], torch.nan), torch.full_like(matrix, torch.nan)
        root = values.sqrt()
        ctx.save_for_backward(root, vectors)
        return vectors @ (vectors / root).T

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> Tensor:
        root, vectors = ctx.saved_tensors
        factors = -1 / (root[:, None] * root[None] * (root[:, None] + root[None]))
        return vectors @ (factors * (vectors.T @ gradient @ vectors)) @ vectors.T


inverse_root = InverseRoot.apply
