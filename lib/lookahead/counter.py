"""Random numbers by counting: draw k of example i is a hash of (key, i, k), nothing else.

No generator, no state: the same numbers on a CPU and a GPU, in any batch, in any order. Plain integer
tensor operations, so that it also runs compiled.
"""

import hashlib

import torch
from torch import Tensor

WORD = 0xFFFF_FFFF


def mix(x: Tensor) -> Tensor:
    """A bijection of 32-bit words that scatters them (int64 tensors holding 0 ... 2^32 - 1), in place.

    The constants are Mueller and Wellons' "hash prospector" two-round ones; both are below 2^31,
    so that no product leaves int64.
    """
    x ^= x >> 16
    x *= 0x21F0AAAD
    x &= WORD
    x ^= x >> 15
    x *= 0x735A2D97
    x &= WORD
    x ^= x >> 15
    return x


def words(*parts: object, count: int) -> list[int]:
    """`count` 32-bit words that depend on every part (in any process, on any machine)."""
    seed = repr(parts).encode()
    digest = hashlib.shake_256(seed).digest(4 * count)
    return [int.from_bytes(digest[4 * i : 4 * i + 4], "little") for i in range(count)]


def integers(key: tuple[object, ...], indices: Tensor, bounds: list[int]) -> Tensor:
    """One uniform integer below each bound for every index.

    Args:
        key: what the stream belongs to (task, seed, split).
        indices: [B], 0 ... 2^32 - 1; distinct ones get distinct 32-bit states.
        bounds: K positive bounds, below 2^31.

    Returns:
        [K, B], int64. A bound of n is biased by at most n / 2^32.
    """
    first, second, *salts = words(*key, count=2 + len(bounds))
    state = mix((indices.long() & WORD) ^ first) ^ second
    column = torch.tensor(salts, device=indices.device)[:, None]
    draws = mix(mix(state)[None, :] ^ column)
    draws *= torch.tensor(bounds, device=indices.device)[:, None]
    draws >>= 32
    return draws


def uniforms(key: tuple[object, ...], indices: Tensor, count: int) -> Tensor:
    """`count` uniform numbers in [0, 1) for every index, in steps of 2^-24: [B, count], float32."""
    return integers(key, indices, [2**24] * count).T.float() / 2**24


def distinct(ranks: Tensor) -> Tensor:
    """Ordered samples without replacement from their Lehmer codes, in place.

    Args:
        ranks: [K, B], int16 or int32; row k is uniform below n - k, n < 2^15.

    Returns:
        [K, B]: K distinct values below n in every column, every ordered choice equally likely.
    """
    for k in range(ranks.shape[0] - 2, -1, -1):
        later = ranks[k + 1 :]
        later -= (ranks[k] - 1 - later) >> 15  # + 1 where later >= rank: the sign, without a bool tensor
    return ranks
