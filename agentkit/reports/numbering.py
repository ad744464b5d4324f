"""Which citations a report makes, each numbered once, and where it is cited from."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from agentkit.types import Citation, Exhibit, Section

Key = tuple[str, float, float, float | None]


def key_of(cite: Citation) -> Key:
    """Return what makes two citations one exhibit: the same span, shown by the same frame."""
    return cite.video_id, cite.start_s, cite.end_s, cite.frame_s


def cited_in(section: Section) -> Iterator[Citation]:
    """Yield what a section cites, in the order in which a reader meets it."""
    for finding in section.findings:
        yield from finding.citations
    yield from section.figures
    for table in section.tables:
        for row in table.rows:
            yield from row.citations


def distinct(sections: Iterable[Section]) -> list[tuple[Citation, ...]]:
    """Return what is cited, in order of first mention; citations of one exhibit stand together."""
    found: dict[Key, dict[Citation, None]] = {}
    for section in sections:
        for cite in cited_in(section):
            found.setdefault(key_of(cite), {})[cite] = None
    return [tuple(cites) for cites in found.values()]


@dataclass(frozen=True, slots=True)
class Mention:
    """One place of a page that cites an exhibit: `number` from 1, and its `place` among them."""

    number: int
    place: int
    citation: Citation

    @property
    def anchor(self) -> str:
        return f"m{self.number}-{self.place}"


@dataclass(slots=True)
class Numbers:
    """The numbers of a report's exhibits, and the mentions made of each while a page is written."""

    exhibits: Sequence[Exhibit]
    mentions: dict[int, list[Mention]] = field(default_factory=lambda: defaultdict(list))
    _of: dict[Key, int] = field(init=False)

    def __post_init__(self) -> None:
        keys = (key_of(exhibit.citation) for exhibit in self.exhibits)
        self._of = {key: number for number, key in enumerate(keys, start=1)}

    def of(self, cite: Citation) -> int | None:
        """Return a citation's number, or None where the report has no such exhibit."""
        return self._of.get(key_of(cite))

    def of_all(self, cites: Iterable[Citation]) -> list[int]:
        """Return the numbers of citations, each once, in their order."""
        numbers = (self.of(cite) for cite in cites)
        return list(dict.fromkeys(number for number in numbers if number is not None))

    def mention(self, cites: Iterable[Citation]) -> list[Mention]:
        """Note that citations are made here; return one mention for each exhibit."""
        made = []
        for number in self.of_all(cites):
            cite = self.exhibits[number - 1].citation
            mention = Mention(number, len(self.mentions[number]) + 1, cite)
            self.mentions[number].append(mention)
            made.append(mention)
        return made
