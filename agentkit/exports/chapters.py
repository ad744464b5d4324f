"""Chapters as FFmpeg's metadata file: `ffmpeg -i VIDEO -i CHAPTERS -map_chapters 1 -c copy OUT`.

https://ffmpeg.org/ffmpeg-formats.html#Metadata-2. Times are counted in frames, so they are exact.
"""

import re

from agentkit.exports.material import Material

_SPECIAL = re.compile(r"([=;#\\])")


def ffmetadata(material: Material) -> bytes:
    """Return the parts as chapters; one that lasts into the next ends where that begins."""
    rate = material.rate.exact
    lines = [";FFMETADATA1", f"title={_escaped(material.name)}"]
    spans = [(*material.frames(part), part.text) for part in material.parts]
    for index, (first, after, text) in enumerate(spans):
        later = [start for start, _, _ in spans[index + 1 :] if start > first]
        end = min([after, *later[:1]])
        if index and spans[index - 1][0] == first:
            continue  # two that begin together: the first, which is the shorter, stands
        lines += ["[CHAPTER]", f"TIMEBASE={rate.denominator}/{rate.numerator}"]
        lines += [f"START={first}", f"END={end}", f"title={_escaped(text)}"]
    return ("\n".join(lines) + "\n").encode()


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)
