"""A thing followed through one video: where it was seen, and when."""

from dataclasses import dataclass

Box = tuple[float, float, float, float]  # left, top, right, bottom as shares of the picture


@dataclass(frozen=True, slots=True)
class Track:
    """One thing of one kind; times, boxes and scores belong together, in order of time."""

    video_id: str
    number: int  # within its video, from 1
    kind: str  # "person", "car", ... (COCO's names)
    times_s: tuple[float, ...]
    boxes: tuple[Box, ...]
    scores: tuple[float, ...]

    @property
    def start_s(self) -> float:
        return self.times_s[0]

    @property
    def end_s(self) -> float:
        return self.times_s[-1]
