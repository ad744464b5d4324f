"""The stable JSON: one function a form, and for each the keys with what they mean.

The keys and their meanings are printed into docs/cli.md. A key is added, never renamed or removed.
"""

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from agentkit.doctor import Check
    from agentkit.evaluating import Found, Interval, Paired
    from agentkit.exports.clips import Clip
    from agentkit.models import ModelSpec
    from agentkit.new_plugin import NewPlugin
    from agentkit.plugin_manager import PluginState
    from agentkit.remedies import Remedied
    from agentkit.store_report import StoreReport, VideoReport
    from agentkit.testing.contract import Checked
    from agentkit.types import (
        Answer,
        ChunkHit,
        Citation,
        Coverage,
        Evaluation,
        Finding,
        IngestEvent,
        Report,
        StoredVideo,
        Tier,
    )
    from agentkit_storage.bundles import Imported

Form = dict[str, Any]
Keys = dict[str, str]

ANSWER: Keys = {
    "text": "the answer",
    "citations": "where it comes from, a list; at most `ask.max_citations`",
    "coverage": "what the answer rests on",
    "question": "the question, as it was asked",
    "supported": "true: the evidence carries the answer; false: it does not; null: not judged",
    "fields": "what the domain read out of it, by name; empty where it reads nothing",
    "findings": "what the domain checked of it, claim by claim, a list",
}
FINDING: Keys = {
    "claim": "what is claimed",
    "verdict": "`supported`, `contradicted` or `unsupported`",
    "citations": "what says so, a list",
}
CITATION: Keys = {
    "video_id": "SHA-256 of the video's content",
    "start_s": "where it begins, in seconds from the start of the video",
    "end_s": "where it ends",
    "why": "the words that carry the answer, for people",
    "frame_s": "the time of the frame that shows it best, or null",
}
COVERAGE: Keys = {
    "engine": "the encoder and the language model, and why these",
    "frames_seen": "frames that were looked at",
    "frames_in_file": "frames that there are",
    "step_s": "mean distance between frames looked at, in seconds",
    "dense_chunks": "indices of the chunks that were read whole for this answer",
    "chunks": "chunks of the video",
    "tokens": "positions that the language model read",
    "instruments": "what looked and listened",
    "missing": "what did not, each with its reason",
    "seconds": "time spent, by stage",
    "tier": "what the answer was read from: `kv`, `tokens` or `frames`",
    "reading": "which chunks were read whole, and what of the others",
}
HIT: Keys = {
    "video_id": "SHA-256 of the video's content",
    "start_s": "where the chunk begins, in seconds",
    "end_s": "where it ends",
    "score": "how near it is; compare within one search only",
    "why": "the text that matched",
}
VIDEO: Keys = {
    "video_id": "SHA-256 of the content",
    "path": "where the file was when it was ingested last",
    "duration_s": "its length in seconds",
    "chunks": "chunks in the store",
    "state": "`ingesting` until the last chunk is in, then `ready`",
    "tiers": "what is kept of it: `notes`, `vectors`, `tokens`, `kv`",
}
WHOLE_VIDEO: Keys = VIDEO | {
    "frames_in_file": "frames that there are",
    "frames_seen": "frames that were looked at",
    "step_s": "mean distance between frames looked at, in seconds",
    "title": "the title in the file's metadata",
    "width_px": "width as shown",
    "height_px": "height as shown",
    "has_sound": "whether there is a sound track",
    "instruments": "what looked and listened",
    "missing": "what did not, each with its reason",
    "warnings": "what was wrong with the file",
    "collection": "the collection that it is in",
    "domain": "the plugin that spoke when it was ingested",
    "tags": "its tags, in order",
    "pinned": "whether its KV stays, whatever `tiers.kv_budget_gb` says",
    "kept": "what is kept of it, tier by tier, a list",
}
TIER: Keys = {
    "name": "`notes`, `vectors`, `tokens` or `kv`",
    "part": "of vectors the space; empty for the others",
    "fingerprint": "what it was made with; empty where the space's name says it",
    "nbytes": "bytes that it takes",
    "chunks": "chunks that have it",
    "dtype": "its number type, several with commas: `int8:float16` are 8 bits made from 16; empty"
    " for text, and for what an older version stored",
    "used_at": "when a question used it last, in seconds since 1970; null but for `kv`",
    "pinned": "whether it stays, whatever `tiers.kv_budget_gb` says",
}
PINNED: Keys = {
    "video_id": "SHA-256 of the content",
    "pinned": "whether its KV stays, whatever `tiers.kv_budget_gb` says",
}
EVENT: Keys = {
    "event": "`start`, `chunk`, `done`, `skip` (in the store already) or `error`",
    "video_id": "SHA-256 of the content; empty where the file could not be read",
    "chunk": "chunks finished",
    "of": "chunks expected",
    "seconds": "since the start",
    "path": "the file",
    "message": "the error, or a remark",
}
TAGGED: Keys = {
    "video_id": "SHA-256 of the content",
    "tags": "the tags that it has now, in order",
}
PROBLEM: Keys = {
    "video_id": "SHA-256 of the video's content; null where it concerns the whole store",
    "name": "the video's file name; empty where there is none",
    "start_s": "where the damage begins, in seconds, or null",
    "end_s": "where it ends, or null",
    "what": "what is wrong",
    "remedy": "what to do about it; empty where `what` says it",
}
REBUILT: Keys = {"index": "bytes of the indexes of vectors"}
FREED: Keys = {
    "freed": "bytes freed",
    "unreferenced": "bytes that nothing refers to and that are left, younger than `--grace`",
}
STATS: Keys = {
    "videos": "what each video takes, a list",
    "tiers": "bytes by tier: `notes`, `vectors`, `tokens`, `kv`; what is shared counts for each",
    "database": "bytes of the database",
    "index": "bytes of the indexes of vectors",
    "blobs": "bytes of all files of tokens and KV",
    "unreferenced": "bytes of them that nothing refers to; `store gc` frees them",
    "kv_budget": "most that KV may take (`tiers.kv_budget_gb`), in bytes, or null",
}
VIDEO_STATS: Keys = {
    "video_id": "SHA-256 of the content",
    "name": "its file's name",
    "notes": "bytes of its notes",
    "vectors": "bytes of its vectors",
    "tokens": "bytes of its tokens",
    "kv": "bytes of its KV",
    "owner": "who works on it, or null",
    "jobs": "its chunks that workers were given and that are not stored, a list",
}
OWNER: Keys = {
    "host": "the machine",
    "pid": "the process on it",
    "since": "when it began, in seconds since 1970",
    "beat_at": "when it last said so",
}
JOB: Keys = {
    "chunk": "the chunk's index",
    "attempts": "how often it was tried",
    "worker": "who has it, or had it last",
    "error": "why the last attempt came to nothing; may be empty",
    "updated_at": "when that was said, in seconds since 1970",
}
MIGRATED: Keys = {
    "from": "the revision that was found; null where the store is new",
    "to": "the revision that it has now",
}
REMOVED: Keys = {"removed": "SHA-256 of the content of the video that was removed"}
REPORTED: Keys = {
    "path": "the file that was written",
    "format": "`md`, `html`, `json`, `pdf` or one of the domain's own",
    "nbytes": "its size",
    "title": "the report's title",
    "videos": "the videos in it: SHA-256 of each one's content",
    "sections": "the titles of its sections, in order",
    "findings": "how many claims there are of each verdict, rows of tables too",
    "exhibits": "how many spans of video it cites",
    "notices": "what a reader must know first",
}
EXPORTED: Keys = {
    "bundle": "the file that was written",
    "nbytes": "its size",
    "videos": "the videos in it: SHA-256 of each one's content",
}
EXPORTED_FILE: Keys = {
    "video_id": "SHA-256 of the video's content",
    "format": "the format's name",
    "path": "the file that was written, or null",
    "nbytes": "its size",
    "text": "what would be in the file; null where one was written",
}
EXPORTED_CLIP: Keys = {
    "video_id": "SHA-256 of the content of the video that it is of",
    "path": "the file that was written",
    "nbytes": "its size",
    "start_s": "when its first frame is shown in the video",
    "end_s": "when its last frame ends there",
    "frames": "frames in it",
    "copied": "whether its packets are the video's own, not encoded anew",
    "remarks": "what is to be known of it, a list",
}
FORMAT: Keys = {"name": "what `--format` calls it", "title": "what it is"}
IMPORTED: Keys = {
    "video_id": "SHA-256 of the video's content",
    "name": "its file's name",
    "outcome": "`imported`, `completed`, `replaced` or `skipped` (in the store already)",
    "footage": "where its file was put, or null",
    "left_footage": "whether the bundle has its file and no folder was named for it",
}
PLUGIN: Keys = {
    "name": "the domain's name",
    "distribution": "the distribution and its version",
    "hooks": "the hooks that it answers",
    "error": "why it cannot be used; empty where it can",
}
NEW_PLUGIN: Keys = {
    "name": "the domain's name",
    "distribution": "what it is called where it is installed",
    "folder": "where it was written",
    "files": "its files, a list",
    "installed": "whether it was installed, too",
}
CHECKED: Keys = {
    "name": "what was looked at",
    "ok": "true, false, or null where there was nothing to look at",
    "found": "what was found",
}
EVALUATOR: Keys = {
    "name": "what `eval` calls it",
    "plugin": "the domain that it comes from",
    "distribution": "the distribution and its version",
    "source": "the paper or the field's own code",
    "ranges": "each metric's worst and best value, a list of two; null where there is no bound",
}
EVALUATION: Keys = {
    "evaluator": "its name",
    "source": "the paper or the field's own code",
    "metrics": "each metric's value; null where there is none",
    "ranges": "each metric's worst and best value, a list of two; null where there is no bound",
    "per_video": "each video's own values",
    "items": "items (frames, queries) of which it is known whether they were right",
    "paired": "how the second run compares; null without `--paired`",
}
PAIRED: Keys = {
    "metrics": "the values of the second run",
    "mcnemar": "the test over items, or null where the two runs share none",
    "intervals": "one for each metric, over the videos of both runs, a list",
    "remarks": "what is too few to show anything, a list",
}
MCNEMAR: Keys = {
    "items": "items that both runs have",
    "only_first": "those that only the first run has right",
    "only_second": "those that only the second run has right",
    "p_value": "McNemar's exact test, two-sided",
}
INTERVAL: Keys = {
    "metric": "its name",
    "videos": "videos that both runs have a value for",
    "difference": "mean over videos of second less first",
    "low": "where the 95 % interval begins, or null",
    "high": "where it ends, or null",
}
MODEL: Keys = {
    "name": "what `pull`, `path` and `verify` call it",
    "use": "what it is for",
    "nbytes": "bytes to fetch; 0 where only the hub knows",
    "licence": "its licence",
    "source": "its official place",
    "default": "whether the embedded default needs it",
    "available": "whether it is here",
}
CHECK: Keys = {
    "name": "what was looked at",
    "ok": "true, false, or null for what may well be missing",
    "detail": "what was found",
    "remedy": "what to do about it; may be empty",
}


def answer(value: "Answer") -> Form:
    """Return what `ask --json` prints."""
    return {
        "text": value.text,
        "citations": [citation(cite) for cite in value.citations],
        "coverage": coverage(value.coverage),
        "question": value.question.text,
        "supported": value.supported,
        "fields": dict(value.fields),
        "findings": [finding(found) for found in value.findings],
    }


def finding(value: "Finding") -> Form:
    return _picked(value, FINDING) | {"citations": [citation(cite) for cite in value.citations]}


def citation(value: "Citation") -> Form:
    return _picked(value, CITATION)


def coverage(value: "Coverage") -> Form:
    return _picked(value, COVERAGE) | {"seconds": dict(value.seconds)}


def hit(value: "ChunkHit") -> Form:
    """Return one of the hits that `search --json` prints."""
    chunk = value.chunk
    return {
        "video_id": chunk.video_id,
        "start_s": value.start_s,
        "end_s": value.end_s,
        "score": value.score,
        "why": value.why,
    }


def video(value: "StoredVideo") -> Form:
    """Return one of the videos that `videos list --json` prints."""
    return _picked(value, VIDEO)


def whole_video(value: "StoredVideo", tiers: Iterable["Tier"]) -> Form:
    """Return what `videos show --json` prints: everything that the store says of a video."""
    form = _picked(value, [key for key in WHOLE_VIDEO if key != "kept"])
    return form | {"kept": [_picked(tier, TIER) for tier in tiers]}


def problem(value: "Remedied") -> Form:
    """Return one of the problems that `store verify --json` prints."""
    return _picked(value, PROBLEM)


def stats(value: "StoreReport") -> Form:
    """Return what `store stats --json` prints."""
    videos = [_video_stats(video) for video in value.videos]
    return _picked(value, STATS) | {"videos": videos, "tiers": dict(value.tiers)}


def _video_stats(value: "VideoReport") -> Form:
    owner = None if value.owner is None else _picked(value.owner, OWNER)
    jobs = [_picked(job, JOB) for job in value.jobs]
    return _picked(value, VIDEO_STATS) | {"owner": owner, "jobs": jobs}


def event(value: "IngestEvent") -> Form:
    """Return one line of `ingest --json`."""
    return _picked(value, EVENT)


def exported(bundle: "Path", nbytes: int, video_ids: list[str]) -> Form:
    """Return what `store export --json` prints."""
    return {"bundle": str(bundle), "nbytes": nbytes, "videos": video_ids}


def exported_file(
    video_id: str, format: str, path: "Path | None", content: bytes, text: str | None
) -> Form:
    """Return what `export --json` prints."""
    where = None if path is None else str(path)
    return {
        "video_id": video_id,
        "format": format,
        "path": where,
        "nbytes": len(content),
        "text": text,
    }


def exported_clip(video_id: str, path: "Path", value: "Clip") -> Form:
    """Return what `export --format clip --json` prints."""
    written = {"video_id": video_id, "path": str(path), "nbytes": path.stat().st_size}
    picked = _picked(value, ("start_s", "end_s", "frames", "copied"))
    return written | picked | {"remarks": list(value.remarks)}


def reported(value: "Report", path: "Path", format: str, nbytes: int) -> Form:
    """Return what `report --json` prints."""
    from agentkit.reports.claims import count_verdicts

    return {
        "path": str(path),
        "format": format,
        "nbytes": nbytes,
        "title": value.title,
        "videos": [video.video_id for video in value.videos],
        "sections": [section.title for section in value.sections],
        "findings": dict(count_verdicts(value.sections)),
        "exhibits": len(value.exhibits),
        "notices": list(value.notices),
    }


def imported(value: "Imported") -> Form:
    """Return one of the videos that `store import --json` prints."""
    footage = None if value.footage is None else str(value.footage)
    return _picked(value, IMPORTED) | {"footage": footage}


def plugin(value: "PluginState") -> Form:
    return _picked(value, PLUGIN)


def new_plugin(value: "NewPlugin", installed: bool) -> Form:
    """Return what `plugins new --json` prints."""
    files = [path for path, _ in value.files]
    form = {"name": value.name, "distribution": value.distribution, "folder": str(value.folder)}
    return form | {"files": files, "installed": installed}


def checked(value: "Checked") -> Form:
    """Return one of the checks that `plugins check --json` prints."""
    return _picked(value, CHECKED)


def evaluator(value: "Found") -> Form:
    """Return one of the evaluators that `eval --json` lists."""
    form = {"name": value.evaluator.name, "plugin": value.plugin}
    form |= {"distribution": value.distribution, "source": value.evaluator.source}
    return form | {"ranges": _ranges(value.evaluator.ranges)}


def evaluation(found: "Found", value: "Evaluation", paired: "Paired | None") -> Form:
    """Return what `eval NAME --json` prints."""
    return {
        "evaluator": found.evaluator.name,
        "source": found.evaluator.source,
        "metrics": _numbers(value.metrics),
        "ranges": _ranges(found.evaluator.ranges),
        "per_video": {video: _numbers(values) for video, values in value.per_video.items()},
        "items": len(value.correct),
        "paired": None if paired is None else _paired(paired),
    }


def _paired(value: "Paired") -> Form:
    test = value.mcnemar
    return {
        "metrics": _numbers(value.second.metrics),
        "mcnemar": None if test is None else _picked(test, MCNEMAR),
        "intervals": [_interval(one) for one in value.intervals],
        "remarks": list(value.remarks),
    }


def _interval(value: "Interval") -> Form:
    numbers = {key: _number(getattr(value, key)) for key in ("difference", "low", "high")}
    return {"metric": value.metric, "videos": value.videos} | numbers


def _numbers(values: Mapping[str, float]) -> Form:
    return {name: _number(value) for name, value in values.items()}


def _ranges(values: Mapping[str, tuple[float, float]]) -> Form:
    return {name: [_number(worst), _number(best)] for name, (worst, best) in values.items()}


def _number(value: float) -> float | None:
    """Return a number as JSON has it: NaN and infinity are none."""
    return float(value) if math.isfinite(value) else None


def model(value: "ModelSpec", available: bool) -> Form:
    """Return one of the models that `models list --json` prints."""
    return _picked(value, [key for key in MODEL if key != "available"]) | {"available": available}


def check(value: "Check") -> Form:
    return _picked(value, CHECK)


def _picked(value: object, keys: Iterable[str]) -> Form:
    return {key: getattr(value, key) for key in keys}
