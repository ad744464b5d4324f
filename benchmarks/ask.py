"""How soon does a second question answer, and how fast does the answer come?

One process with the models loaded. The first token of a second question on a stored video is set
against ingest, prefill and the first token of a first question; decoding over the stored KV
against the `generate` of transformers in float32 on the same weights and the same prompt.

    python benchmarks/ask.py
    python benchmarks/ask.py --file film.mp4 --set language_model=qwen2.5-coder-1.5b
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from common import Ratio, clip, parse_overrides, release_memory, show, timed, write_results

from agentkit import Session, Settings, models
from agentkit.types import StoredVideo
from agentkit_storage import GroupRecord, Store

AIM_SECOND_QUESTION = 10.0
AIM_DECODING = 2.0
WARM_UP = "What does the president say?"  # makes every model load
FIRST = "How many people are walking in front of the building?"
SECOND = (
    "Which vehicles are parked there?",
    "What are the people doing?",
    "When are several people seen?",
)
NEW_TOKENS = 48
ROUNDS = 3  # the best of so many counts, ours and theirs in turn
SYSTEM = "You answer questions about a video from the notes below."


def first_token_s(session: Session, question: str, video: StoredVideo) -> float:
    """Return the seconds until the first piece of the answer is there.

    Raises:
        RuntimeError: nothing was found, so the model was not asked and there is nothing to time.
    """
    first: list[float] = []
    began = time.perf_counter()
    answer = session.ask(question, video, on_text=lambda piece: first.append(time.perf_counter()))
    if "generate" not in answer.coverage.seconds:
        raise RuntimeError(f"{question!r} finds nothing in {video.path}; ask of what it shows")
    return first[0] - began


def questions(path: Path, overrides: Mapping[str, Any]) -> tuple[dict[str, Any], list[GroupRecord]]:
    """Measure ingest with a first question, then second questions; return the stored groups too."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        settings = Settings.load(store=Path(folder) / "store", **overrides)
        with Session.open(settings) as session:
            first_token_s(session, WARM_UP, session.ingest(clip("obama_speech.mp4")))
            with timed() as ingest:
                video = session.ingest(path)
            first_s = first_token_s(session, FIRST, video)
            second_s = [first_token_s(session, question, video) for question in SECOND]
        with Store.open(settings.store) as store:
            groups = store.groups(video.video_id)
    figures = {
        "file": path.name,
        "ingest_s": ingest.wall_s,
        "first_question_s": first_s,
        "second_questions_s": second_s,
    }
    return figures, groups


def rate(times_s: Sequence[float]) -> float:
    """Return tokens a second between the first token, which waits for the prompt, and the last."""
    return (len(times_s) - 1) / (times_s[-1] - times_s[0])


class Ours:
    """Decoding over a prefilled video, as a session does it."""

    def __init__(self, folder: Path, groups: Iterable[GroupRecord]) -> None:
        from videoxl2_model.model import LanguageModel

        self._model = LanguageModel.from_folder(folder)
        tokens = [self._model.group(each.time_text, each.text) for each in groups]
        self._kv = self._model.prefill(SYSTEM, tokens)
        self._question = self._model.question_ids(FIRST)
        self.prompt_ids = self._model.system_ids(SYSTEM)
        for group in tokens:
            self.prompt_ids += [*group.time_ids, *(group.ids or ())]
        self.prompt_ids += self._question

    def token_times_s(self, count: int = NEW_TOKENS) -> list[float]:
        from videoxl2_model.config import GenerationSettings
        from videoxl2_model.generate import generate

        chunks = range(-(-self._kv.num_groups // 4))
        room = len(self._question) + count
        cache = self._kv.assemble(chunks, room=room)
        settings = GenerationSettings(max_new_tokens=count)
        ids = generate(self._model.decoder, cache, self._question, settings)
        return [time.perf_counter() for _ in ids]


class Theirs:
    """`generate` of transformers, float32, the same weights, its own cache."""

    def __init__(self, folder: Path, prompt_ids: Sequence[int]) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self._prompt = torch.tensor([list(prompt_ids)])

    def token_times_s(self, count: int = NEW_TOKENS) -> list[float]:
        import torch

        clock = TokenClock()
        with torch.inference_mode():
            self._model.generate(
                self._prompt,
                attention_mask=torch.ones_like(self._prompt),
                do_sample=False,
                min_new_tokens=count,
                max_new_tokens=count,
                streamer=clock,
            )
        return clock.times_s


class TokenClock:
    """A streamer, in the sense of transformers, that only looks at the clock."""

    def __init__(self) -> None:
        self.times_s: list[float] = []
        self._prompt_seen = False

    def put(self, value: object) -> None:
        if self._prompt_seen:
            self.times_s.append(time.perf_counter())
        self._prompt_seen = True

    def end(self) -> None:
        """Nothing is left to do."""


def decoding(
    groups: Sequence[GroupRecord], overrides: Mapping[str, Any]
) -> tuple[list[float], list[float]]:
    """Return tokens a second of each round, ours and theirs."""
    folder = models.path(Settings.load(**overrides).language_model)
    ours = Ours(folder, groups)
    theirs = Theirs(folder, ours.prompt_ids)
    for side in (ours, theirs):
        side.token_times_s(2)  # weights are put into the type of decoding at the first step
    rounds = [(rate(ours.token_times_s()), rate(theirs.token_times_s())) for _ in range(ROUNDS)]
    return [mine for mine, _ in rounds], [other for _, other in rounds]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--file", type=Path, help="default: the pedestrian clip, vtest.avi")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.NAME=VALUE")
    args = parser.parse_args()
    overrides = parse_overrides(args.set)
    figures, groups = questions(args.file or clip("vtest.avi"), overrides)
    before_s = figures["ingest_s"] + figures["first_question_s"]
    second_s = statistics.median(figures["second_questions_s"])
    name = "first token: ingest and first question over second question"
    ratios = [show(Ratio(name, before_s, second_s, "s", aim=AIM_SECOND_QUESTION))]
    release_memory()
    ours, theirs = decoding(groups, overrides)
    figures |= {"ours_tokens_per_s": ours, "transformers_tokens_per_s": theirs}
    name = "decoding: ours over transformers' generate in float32"
    ratios.append(show(Ratio(name, max(ours), max(theirs), "tokens/s", aim=AIM_DECODING)))
    print(f"figures: {write_results('ask', figures, tuple(ratios))}")
    return 0 if all(ratio.met for ratio in ratios) else 1


if __name__ == "__main__":
    sys.exit(main())
