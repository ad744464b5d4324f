"""What the model says of a few scenes and highlights, where the option `judge` asks for it.

Each is one question on the chunks that the span touches, kept in the store: a report that was
killed asks only what was not answered yet.
"""

from collections.abc import Mapping
from typing import Any

from agentkit.types import SessionView
from agentkit_media.breakdown import Breakdown
from agentkit_media.wording import clock, texts

VERSION = 1


def judged(found: Breakdown, session: SessionView) -> dict[tuple[str, float], Mapping[str, Any]]:
    """Return the fields of the answers by (task, start in s); none where `judge` is 0.

    The longest scenes and the best highlights are asked about, `judge` of each.
    """
    count = found.material.options.judge
    scenes = sorted(found.scenes, key=lambda s: (s.start_s - s.end_s, s.start_s))[:count]
    moments = sorted(found.highlights.moments, key=lambda m: (-m.score, m.start_s))[:count]
    asked = [("scene", s.start_s, s.end_s) for s in scenes]
    asked += [("highlight", m.start_s, m.end_s) for m in moments]
    answers = {}
    for done, (task, start_s, end_s) in enumerate(asked, start=1):
        answers[task, start_s] = _asked(found, session, task, start_s, end_s)
        session.progress("questions", done, len(asked))
    return answers


def _asked(
    found: Breakdown, session: SessionView, task: str, start_s: float, end_s: float
) -> Mapping[str, Any]:
    video, language = found.material.video, found.material.language
    text = texts()(f"task.{task}.question", language, start=clock(start_s), end=clock(end_s))

    def ask() -> dict[str, Any]:
        chunks = [
            chunk.index
            for chunk in session.chunks(video)
            if chunk.start_s < end_s and start_s < chunk.end_s
        ]
        answer = session.ask(
            text,
            video,
            task=task,
            chunks=chunks,
            start_s=start_s,
            end_s=min(end_s, video.duration_s),
        )
        return dict(answer.fields)

    key = f"media/judged/{language}/{task}/{start_s:.3f}-{end_s:.3f}"
    return session.analysis(video, key, str(VERSION), ask)
