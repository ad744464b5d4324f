"""File formats of this domain: QVHighlights' submissions, Fountain, and lists of shots."""

import csv
import io
import json
import math
from pathlib import PurePath

from agentkit.types import SessionView, StoredVideo
from agentkit_media.breakdown import Breakdown, break_down
from agentkit_media.frames import LOOK_S
from agentkit_media.highlights import Highlights
from agentkit_media.script import fountain, script_of

CLIP_S = 2  # QVHighlights scores clips of two seconds
QUERY = "highlights"
QID = 1


def qvhighlights(video: StoredVideo, session: SessionView) -> bytes:
    """Write one line of QVHighlights' submission format (Lei et al., 2021), for the whole video.

    Windows are in seconds, best first; scores are 0..1. Where nothing stands out the one window is
    the whole video, with the score 0: the format has no line without a window.
    """
    found = break_down(video, session).highlights
    best = sorted(found.moments, key=lambda moment: (-moment.score, moment.start_s))
    windows = [[_s(m.start_s), _s(m.end_s), round(m.score / 10, 4)] for m in best]
    row = {
        "qid": QID,
        "query": QUERY,
        "vid": video.video_id,
        "pred_relevant_windows": windows or [[0.0, _s(video.duration_s), 0.0]],
        "pred_saliency_scores": saliency(found, video.duration_s),
    }
    return (json.dumps(row) + "\n").encode()


def saliency(found: Highlights, duration_s: float) -> list[float]:
    """Return the mean score of each two seconds, 0..1."""
    steps = round(CLIP_S / LOOK_S)
    clips = max(math.ceil(duration_s / CLIP_S), 1)
    parts = [found.curve[i * steps : (i + 1) * steps] for i in range(clips)]
    return [round(sum(part) / len(part) / 10, 4) if part else 0.0 for part in parts]


def script(video: StoredVideo, session: SessionView) -> bytes:
    """Write the script in Fountain's plain text."""
    found = break_down(video, session)
    lines = script_of(
        found.scenes, found.characters, found.words, found.material.options.names_language
    )
    title = PurePath(video.path).name or video.video_id
    return fountain(lines, title, found.words).encode()


def shots(video: StoredVideo, session: SessionView) -> bytes:
    """Write the shots as CSV: frames are counted from 0, the last one included."""
    found = break_down(video, session)
    scene_of = _scene_of(found)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow("shot first_frame last_frame start_s end_s begins scene".split())
    for shot in found.material.shots:
        times = f"{shot.start_s:.6f}", f"{shot.end_s:.6f}"
        frames = shot.first_frame, shot.after_frame - 1
        table.writerow((shot.number, *frames, *times, shot.begins, scene_of[shot.number]))
    return text.getvalue().encode()


def shot_frames(video: StoredVideo, session: SessionView) -> bytes:
    """Write each shot's first and last frame on a line: what the evaluator `shot-f1` reads."""
    found = break_down(video, session)
    lines = [f"{shot.first_frame} {shot.after_frame - 1}\n" for shot in found.material.shots]
    return "".join(lines).encode()


def _scene_of(found: Breakdown) -> dict[int, int]:
    return {shot.number: scene.number for scene in found.scenes for shot in scene.shots}


def _s(time_s: float) -> float:
    return round(time_s, 3)
