"""Vectors made shorter."""

from __future__ import annotations

import math
from array import array


def shortened(vector: array[float], dimensions: int) -> array[float]:
    """The first `dimensions` values, scaled to length 1 again; 0, or the vector's own length: the vector itself.

    Models that were trained for it (Matryoshka representation learning, https://arxiv.org/abs/2205.13147) have what
    matters most at the front.
    """
    if dimensions in (0, len(vector)):
        return vector
    cut = vector[:dimensions]
    norm = math.sqrt(sum(value * value for value in cut))
    return array("f", [value / norm for value in cut]) if norm else cut
