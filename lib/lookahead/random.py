"""Random numbers by counting: draw k of example i is a hash of (key, i, k), nothing else.

No generator, no state: the same numbers on a CPU and a GPU, in any batch, in any order. Plain integer
tensor operations, so that it also runs compiled.
"""

import functools
import hashlib

import torch
from torch import Tensor

WORD = 0xFFFF_FFFF

Key = tuple[object, ...]


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
    return _words(repr(parts), count)


def _words(text: str, count: int) -> list[int]:
    digest = hashlib.shake_256(text.encode()).digest(4 * count)
    return [int.from_bytes(digest[4 * i : 4 * i + 4], "little") for i in range(count)]


@functools.cache  # never dropped: a CUDA graph may read them for as long as the process lives
def _salts(keys: tuple[str, ...], count: int, device: torch.device) -> Tensor:
    """The words of S keys, [count, S, 1], on the device, so that no step copies them there."""
    return torch.tensor([_words(key, count) for key in keys], device=device).T[:, :, None]


@functools.cache
def _column(values: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.tensor(values, device=device)[:, None, None]


def integers(key: Key | list[Key], indices: Tensor, bounds: list[int]) -> Tensor:
    """One uniform integer below each bound for every index.

    Args:
        key: what the stream belongs to (task, seed, split); or a list of S, one a member.
        indices: [B], 0 ... 2^32 - 1; distinct ones get distinct 32-bit states. With a list of keys [S, B], or [1, B]
            where all members count alike.
        bounds: K positive bounds, below 2^31.

    Returns:
        [K, B], int64; with a list of keys [K, S, B], each member's as from its key alone. A bound of n is biased by
        at most n / 2^32.
    """
    keys = tuple(repr(one) for one in (key if isinstance(key, list) else [key]))
    salts = _salts(keys, 2 + len(bounds), indices.device)
    limits = _column(tuple(bounds), indices.device)
    if not isinstance(key, list):
        salts, limits = salts[:, 0], limits[:, 0]
    state = mix((indices.long() & WORD) ^ salts[0]) ^ salts[1]
    draws = mix(mix(state) ^ salts[2:])
    draws *= limits
    draws >>= 32
    return draws


def uniforms(key: Key | list[Key], indices: Tensor, count: int) -> Tensor:
    """`count` uniform numbers in [0, 1) for every index, in steps of 2^-24: [B, count], float32.

    With a list of keys (see `integers`) [S, B, count].
    """
    return integers(key, indices, [2**24] * count).movedim(0, -1).float() / 2**24


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
