"""``best``: the tiles by which ``linear.cu`` computes a result soonest.

Clocks are fitted to times of an H200, of products as transformers have them: they choose well
between these kernels, and say nothing of time otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Tile", "best"]


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A kernel of ``linear.cu``, and what it does at a time."""

    kernel: str
    high: int
    """Rows."""
    wide: int
    """Columns."""
    stages: int
    groups: int
    """Groups of 128 threads that multiply."""
    in_turns: bool
    """Whether one tile is finished while the next one is multiplied."""
    clocks: int
    """Of a stage's products."""
    depth: int = 64
    """Elements of a row in a stage."""

    @property
    def threads(self) -> int:
        """Those that multiply, and a group of which one fetches."""
        return 128 * (self.groups + 1)

    @property
    def shared(self) -> int:
        """Bytes of shared memory: stages of 16-bit numbers, and two barriers for each."""
        return self.stages * ((self.high + self.wide) * self.depth * 2 + 16)

    def pairs(self, rows: int, columns: int, abreast: bool) -> int:
        """Two tiles next to each other, which a cluster has, for all of a result."""
        tall, across = -(-rows // self.high), -(-columns // self.wide)
        return tall * -(-across // 2) if abreast else -(-tall // 2) * across

    def blocks(self, rows: int, columns: int, abreast: bool, multiprocessors: int) -> int:
        """The grid: as many as there is room for at once, or fewer."""
        return 2 * min(self.pairs(rows, columns, abreast), multiprocessors // 2)

    def time(self, pairs: int, depth: int, multiprocessors: int) -> int:
        """Clocks for so many pairs of tiles."""
        rounds = -(-pairs // (multiprocessors // 2))
        products = rounds * math.ceil(depth / self.depth) * self.clocks
        return products + _FINISHING * (1 if self.in_turns else rounds)


_FINISHING = 4200
"""Clocks in which a tile is rounded and stored."""

_TILES = (
    Tile(
        kernel="one_of_192_by_192",
        high=192,
        wide=192,
        stages=4,
        groups=3,
        in_turns=False,
        clocks=1310,
    ),
    Tile(
        kernel="turns_of_192_by_128",
        high=192,
        wide=128,
        stages=5,
        groups=2,
        in_turns=True,
        clocks=925,
    ),
    Tile(
        kernel="turns_of_128_by_128",
        high=128,
        wide=128,
        stages=6,
        groups=2,
        in_turns=True,
        clocks=660,
    ),
)


def best(rows: int, columns: int, depth: int, multiprocessors: int) -> tuple[Tile, bool]:
    """The tile for ``(rows, depth) @ (depth, columns)``, and whether pairs of them lie abreast."""

    def times() -> Iterator[tuple[int, int]]:
        for i, tile in enumerate(_TILES):
            for apart in (False, True):
                pairs = tile.pairs(rows, columns, not apart)
                yield tile.time(pairs, depth, multiprocessors), 2 * i + apart

    _, choice = min(times())
    return _TILES[choice // 2], choice % 2 == 0
