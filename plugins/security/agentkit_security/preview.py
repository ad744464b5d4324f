"""Zones and lines drawn over a frame, so that people see what they wrote. Faces are blurred."""

import io
from collections.abc import Sequence

from agentkit.types import SessionView, StoredVideo
from agentkit_security.geometry import Point
from agentkit_security.options import options_of
from agentkit_security.privacy import redacted
from agentkit_security.zones import Rules, rules_of

_COLOURS = ((255, 200, 0), (0, 200, 255), (255, 90, 200), (120, 255, 120), (255, 140, 60))


def preview(session: SessionView, video: StoredVideo, at_s: float) -> bytes:
    """Return a PNG of a frame with the zones and lines that are for this video.

    Raises:
        UsageError: the rules file says what cannot be.
        InstrumentMissingError: faces cannot be looked for, so nothing is shown.
    """
    rules = rules_of(options_of(session), video)
    (frame,) = redacted(session.frames(video, [at_s]), session)
    return drawn(frame, rules)


def drawn(frame: object, rules: Rules) -> bytes:
    from PIL import Image, ImageDraw

    picture = Image.fromarray(frame)  # type: ignore[arg-type]  # [H, W, 3] uint8
    pen = ImageDraw.Draw(picture, "RGBA")
    size = picture.size
    named = [zone for zone in rules.zones if zone.polygon]
    for number, zone in enumerate(named):
        colour = _COLOURS[number % len(_COLOURS)]
        corners = _pixels(zone.polygon, size)
        pen.polygon(corners, fill=(*colour, 50))
        pen.line([*corners, corners[0]], fill=(*colour, 255), width=2)
        _write(pen, _middle(corners), zone.name, colour)
    for number, line in enumerate(rules.lines, start=len(named)):
        colour = _COLOURS[number % len(_COLOURS)]
        ends = _pixels((line.start, line.end), size)
        pen.line(ends, fill=(*colour, 255), width=3)
        pen.ellipse([ends[1][0] - 5, ends[1][1] - 5, ends[1][0] + 5, ends[1][1] + 5], fill=colour)
        _write(pen, _middle(ends), line.name, colour)
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def _pixels(points: Sequence[Point], size: tuple[int, int]) -> list[tuple[float, float]]:
    return [(x * (size[0] - 1), y * (size[1] - 1)) for x, y in points]


def _middle(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    xs, ys = zip(*points, strict=True)
    return sum(xs) / len(xs), sum(ys) / len(ys)


def _write(pen: object, at: tuple[float, float], text: str, colour: tuple[int, int, int]) -> None:
    box = pen.textbbox(at, text, anchor="mm")  # type: ignore[attr-defined]  # an ImageDraw
    pen.rectangle([box[0] - 3, box[1] - 2, box[2] + 3, box[3] + 2], fill=(0, 0, 0, 180))  # type: ignore[attr-defined]
    pen.text(at, text, fill=colour, anchor="mm")  # type: ignore[attr-defined]
