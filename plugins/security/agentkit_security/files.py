"""A video's tracks, events and scores as files that others read."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import PurePath

from agentkit.types import SessionView, StoredVideo, UsageError
from agentkit_security.tracking import tracks_of
from agentkit_security.watched import curve, watch


def mot(video: StoredVideo, session: SessionView) -> bytes:
    """Write tracks as the MOT challenge does (Milan et al., MOT16, 2016), in the file's frames.

    frame, id, left, top, width, height (pixels from 1), score, -1, -1, -1. Only the frames that
    were looked at have boxes: set `track_fps` to the file's rate for all of them.
    """
    if not (video.width_px and video.height_px):
        raise UsageError(f"{video.path}: the size of its picture is not known; ingest it again")
    rate, rows = rate_of(video), []
    for track in tracks_of(session, video):
        for time_s, box, score in zip(track.times_s, track.boxes, track.scores, strict=True):
            left, right = box[0] * video.width_px, box[2] * video.width_px
            top, bottom = box[1] * video.height_px, box[3] * video.height_px
            place = f"{left + 1:.2f},{top + 1:.2f},{right - left:.2f},{bottom - top:.2f}"
            frame = round(time_s * rate) + 1
            rows.append((frame, track.number, f"{place},{score:.4f},-1,-1,-1"))
    lines = [f"{frame},{number},{rest}\n" for frame, number, rest in sorted(rows)]
    return "".join(lines).encode()


def events(video: StoredVideo, session: SessionView) -> bytes:
    """Write events as CSV: video, start_s, end_s, label; the columns `agentkit eval` reads."""
    rows = [
        (name_of(video), f"{e.start_s:.2f}", f"{e.end_s:.2f}", f"{e.kind} {e.zone}".strip())
        for e in watch(session, video).events
    ]
    return _csv(("video", "start_s", "end_s", "label"), rows)


def anomaly(video: StoredVideo, session: SessionView) -> bytes:
    """Write the anomaly score of each second as CSV; empty while the camera was learnt."""
    rows = [
        (str(second), "" if math.isnan(score) else f"{score:.4f}")
        for second, score in enumerate(curve(session, video).scores)
    ]
    return _csv(("second", "score"), rows)


def anomaly_frames(video: StoredVideo, session: SessionView) -> bytes:
    """Write the score of each frame of the file: video, frame, score, as `agentkit eval` reads it.

    While the camera was learnt a score is 0: nothing was called unusual.
    """
    scores = curve(session, video).scores
    name, rate = PurePath(video.path).name, rate_of(video)
    rows = []
    for frame in range(video.frames_in_file):
        score = scores[min(int(frame / rate), len(scores) - 1)]
        rows.append((name, str(frame + 1), f"{0.0 if math.isnan(score) else score:.4f}"))
    return _csv(("video", "frame", "score"), rows)


def ucf_crime(video: StoredVideo, session: SessionView) -> bytes:
    """Write the two highest peaks as UCF-Crime's temporal annotation does (Sultani et al., 2018).

    name, class, first and last frame of one and of a second stretch; -1 where there is none.
    """
    rate = rate_of(video)
    peaks = sorted(curve(session, video).peaks[:2], key=lambda peak: peak.start_s)
    frames = [str(max(round(at * rate), 1)) for peak in peaks for at in (peak.start_s, peak.end_s)]
    frames += ["-1"] * (4 - len(frames))
    kind = "Anomaly" if peaks else "Normal"
    name = PurePath(video.path).name.replace(" ", "_")
    return f"{name}  {kind}  {'  '.join(frames)}\n".encode()


def rate_of(video: StoredVideo) -> float:
    """Return the file's mean number of frames a second."""
    return video.frames_in_file / max(video.duration_s, 1e-9)


def name_of(video: StoredVideo) -> str:
    return PurePath(video.path).stem


def _csv(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue().encode()
