"""The network: embeddings of columns, then residual blocks. One module from raw numbers and codes to logits.

Piecewise-linear and periodic embeddings of numbers: Gorishniy, Rubachev & Babenko (2022), On Embeddings for Numerical
Features in Tabular Deep Learning. Entity embeddings: Guo & Berkhahn (2016). Residual blocks: Gorishniy et al. (2021),
Revisiting Deep Learning Models for Tabular Data. Robust scaling with a smooth clip: Holzmüller, Grinsztajn & Steinwart
(2024), Better by Default (RealMLP). Members that share their weights: Gorishniy, Kotelnikov & Babenko (2025), TabM.

Suffixes of names give shapes: R rows, N numeric features, C text features, T bins, F inputs, K members, W width.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.neural.encode import Encoding
from pipelines.neural.settings import NetworkSettings

LIMIT = 3.0  # where the smooth clip levels off, in scales


class Block(nn.Module):
    """x + two layers of its norm."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_RKW: Tensor) -> Tensor:
        """Return the same shape."""
        return x_RKW + self.dropout(self.outer(functional.silu(self.inner(self.norm(x_RKW)))))  # type: ignore[no-any-return]


class TabularNetwork(nn.Module):
    """Logits [rows, members] from numbers float32 [rows, N] with NaN where missing, and codes int32 [rows, C]."""

    center_N: Tensor
    scale_N: Tensor
    left_NT: Tensor
    per_width_NT: Tensor

    def __init__(self, encoding: Encoding, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        for name, array in (
            ("center_N", encoding.center),
            ("scale_N", encoding.scale),
            ("left_NT", encoding.left),
            ("per_width_NT", encoding.per_width),
        ):
            self.register_buffer(name, torch.from_numpy(array))
        sizes = [len(vocabulary) + 1 for vocabulary in encoding.vocabularies]
        self.embeddings = nn.ModuleList(nn.Embedding(size, _dimensions(size)) for size in sizes)
        for embedding in self.embeddings:
            nn.init.normal_(embedding.weight, std=0.1)  # type: ignore[arg-type]
            nn.init.zeros_(embedding.weight[0])  # type: ignore[index]
        count, bins = len(encoding.numeric), settings.bins
        expanded = bins * (2 if settings.numbers == "periodic" else 1)
        inputs = count * (2 + expanded) + sum(map(_dimensions, sizes))
        if settings.numbers == "periodic":
            self.frequencies_NT = nn.Parameter(torch.randn(count, bins) * 0.5)
        if settings.members > 1:
            self.adapters_KF = nn.Parameter(torch.randn(settings.members, inputs))
        self.first = nn.Linear(inputs, settings.width)
        self.blocks = nn.ModuleList(Block(settings.width, settings.dropout) for _ in range(settings.blocks))
        self.norm = nn.LayerNorm(settings.width)
        self.head_KW = nn.Parameter(torch.randn(settings.members, settings.width) / math.sqrt(settings.width))
        self.bias_K = nn.Parameter(torch.zeros(settings.members))

    def forward(self, numbers_RN: Tensor, codes_RC: Tensor) -> Tensor:
        """Return logits [rows, members]."""
        x_RKF = self.inputs(numbers_RN, codes_RC).unsqueeze(1)
        if self.settings.members > 1:
            x_RKF = x_RKF * self.adapters_KF
        x_RKW = self.first(x_RKF)
        for block in self.blocks:
            x_RKW = block(x_RKW)
        return (self.norm(x_RKW) * self.head_KW).sum(-1) + self.bias_K  # type: ignore[no-any-return]

    def inputs(self, numbers_RN: Tensor, codes_RC: Tensor) -> Tensor:
        """Return every embedded column side by side, [rows, F]."""
        missing_RN = numbers_RN.isnan()
        filled_RN = torch.where(missing_RN, self.center_N, numbers_RN)
        scaled_RN = ((filled_RN - self.center_N) / self.scale_N).clamp(-100, 100)
        scaled_RN = scaled_RN / (1 + (scaled_RN / LIMIT).square()).sqrt()
        if self.settings.numbers == "periodic":
            angles_RNT = 2 * math.pi * self.frequencies_NT * scaled_RN.unsqueeze(-1)
            expanded_RNT = torch.cat([angles_RNT.cos(), angles_RNT.sin()], dim=-1)
        else:
            expanded_RNT = ((filled_RN.unsqueeze(-1) - self.left_NT) * self.per_width_NT).clamp(0, 1)
        embedded = [embedding(codes_RC[:, number]) for number, embedding in enumerate(self.embeddings)]
        return torch.cat([scaled_RN, missing_RN.to(scaled_RN.dtype), expanded_RNT.flatten(1), *embedded], dim=1)


def _dimensions(size: int) -> int:
    """Return how many numbers stand for a category of so many; the rule of thumb of fastai's tabular learner."""
    return min(50, round(1.6 * size**0.56))
