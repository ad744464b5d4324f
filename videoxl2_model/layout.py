"""Where every token stands and which keys it sees.

The order is: system | (time text, group tokens) x G | question.
Positions come from lengths, never from token ids: a line of text may hold any word. Knows no torch.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from videoxl2_model.config import PrefillConfig
from videoxl2_model.errors import SettingError


@dataclass(frozen=True, slots=True)
class GroupSpan:
    """One group's place in its segment, in positions."""

    start: int
    time_length: int
    token_length: int

    @property
    def stop(self) -> int:
        return self.start + self.time_length + self.token_length

    @property
    def time(self) -> range:
        return range(self.start, self.start + self.time_length)

    @property
    def tokens(self) -> range:
        return range(self.start + self.time_length, self.stop)


class SegmentLayout:
    """The positions of one segment, growing group by group, and its blocks."""

    def __init__(self, system_length: int, config: PrefillConfig) -> None:
        self.system_length = system_length
        self.config = config
        self.spans: list[GroupSpan] = []
        self.block_starts: list[int] = []  # index of each block's first group

    @property
    def stop(self) -> int:
        """The position after the last group."""
        return self.spans[-1].stop if self.spans else self.system_length

    def add(self, time_length: int, token_length: int) -> GroupSpan:
        """Place one more group; it opens a block if the one before is closed."""
        if time_length < 1:
            raise SettingError("a group needs at least one token of time text")
        if self.block_closed:
            self.block_starts.append(len(self.spans))
        span = GroupSpan(self.stop, time_length, token_length)
        self.spans.append(span)
        return span

    @property
    def block_closed(self) -> bool:
        """True where the next group opens a new block."""
        if not self.block_starts:
            return True
        first = self.block_starts[-1]
        groups = len(self.spans) - first
        rows = self.stop - self.spans[first].start
        return groups >= self.config.block_groups and rows >= self.config.min_block_rows

    def block_start(self, block: int) -> int:
        """Return the position of a block's first row."""
        return self.spans[self.block_starts[block]].start

    def block_of(self, group: int) -> int:
        """Return the index of the block that holds a group."""
        return bisect_right(self.block_starts, group) - 1

    def _first_seen(self, block: int) -> int:
        lookback = self.config.lookback_blocks
        seen = 0 if lookback is None else max(0, block - lookback)
        return self.block_starts[seen]

    def always(self, block: int) -> list[range]:
        """Return the keys that all of a block's rows see however old they are, in order.

        The system text, and every timestamp before what the block sees whole.
        """
        times = (span.time for span in self.spans[: self._first_seen(block)])
        return joined([range(self.system_length), *times])

    def seen_from(self, block: int) -> int:
        """Return the position from which a block's rows see everything before them."""
        return self.spans[self._first_seen(block)].start

    def context(self, block: int) -> list[range]:
        """Return the keys before a block that all of its rows see, in order.

        The system text, every older timestamp, and the last `lookback_blocks` blocks.
        """
        recent = range(self.seen_from(block), self.block_start(block))
        return joined([*self.always(block), recent])

    def hides(self, block: int) -> bool:
        """True where keys stand before a block that only its timestamp rows see."""
        return self._first_seen(block) > 0

    def visible(self, position: int) -> list[range]:
        """Return the keys that one row sees, itself included. Rows after the groups see all."""
        group = bisect_right(self.spans, position, key=lambda span: span.start) - 1
        if group < 0 or position >= self.stop or position in self.spans[group].time:
            return [range(position + 1)]
        block = self.block_of(group)
        own = range(self.block_start(block), position + 1)
        return joined([*self.context(block), own])


def joined(ranges: Iterable[range]) -> list[range]:
    """Return ascending ranges without empty ones, neighbours made one."""
    out: list[range] = []
    for each in ranges:
        if not each:
            continue
        if out and out[-1].stop == each.start:
            out[-1] = range(out[-1].start, each.stop)
        else:
            out.append(each)
    return out


def tiled(ranges: Sequence[range], rows: int) -> Iterator[list[range]]:
    """Cut ascending ranges into tiles of at most `rows` rows."""
    tile: list[range] = []
    left = rows
    for each in ranges:
        start = each.start
        while start < each.stop:
            stop = min(each.stop, start + left)
            tile.append(range(start, stop))
            left -= stop - start
            start = stop
            if left == 0:
                yield tile
                tile, left = [], rows
    if tile:
        yield tile
