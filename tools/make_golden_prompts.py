"""Write tests/plugins/golden_prompts.json: what each domain's prompts are as the real Qwen's ids.

For each domain, task, language and encoder the SHA-256 of the ids that stand after the video, and
one of what stands before it. Run it when a prompt was changed on purpose:
`python tools/make_golden_prompts.py` (needs `agentkit models pull`).
"""

import json
import sys
from collections.abc import Iterator
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import cast

from tokenizers import Tokenizer

from agentkit import models
from agentkit.plugin_manager import Domain
from agentkit.testing import stored_video
from agentkit.testing.contract.subject import Subject
from agentkit.types import Question
from videoxl2_model.decoder import Decoder
from videoxl2_model.model import LanguageModel

QWEN = "qwen2.5-coder-0.5b"
DOMAINS = ("general", "healthcare", "media", "security")
ENCODERS = ("notes", "videoxl2")
ASKED = {"en": "What happens first?", "zh": "首先发生了什么？"}
OPTIONS = ("a dog", "一只猫")
PLACE = Path(__file__).resolve().parent.parent / "tests" / "plugins" / "golden_prompts.json"


def questions(name: str) -> Iterator[Question]:
    """Yield a question of every task of a domain, in every language."""
    subject = Subject(name)
    if name == "general" or subject.prompts is None:
        yield from (Question(text, OPTIONS, "", language) for language, text in ASKED.items())
        return
    prompts = subject.prompts
    for task, language in product(subject.tasks, subject.languages):
        key, text = f"task.{task}.question", ASKED[language]
        if key in prompts.texts[language]:
            values = dict.fromkeys(prompts.placeholders(key, language), "X")
            text = prompts(key, language, **values)
        yield Question(text, OPTIONS, task, language)


def digests(language_model: LanguageModel) -> dict[str, str]:
    """Return what each prompt's ids come to, by domain, task, language and encoder."""
    video, found = stored_video(), {}
    for name in DOMAINS:
        domain = Domain.load(name)
        system = language_model.system_ids(domain.system_prompt(video))
        found[f"{name}/before the video"] = _digest(system)
        for question, encoder in product(questions(name), ENCODERS):
            ids = language_model.question_ids(domain.user_prompt(video, question, encoder))
            task = question.task or "a person's"
            found[f"{name}/{task}/{question.language}/{encoder}"] = _digest(ids)
    return found


def _digest(ids: list[int]) -> str:
    return sha256(json.dumps(ids).encode()).hexdigest()


def real_model() -> LanguageModel:
    """Return the real tokenizer in a model that can do nothing but read text."""
    tokenizer = Tokenizer.from_file(str(models.path(QWEN) / "tokenizer.json"))
    return LanguageModel(cast(Decoder, None), tokenizer)


if __name__ == "__main__":
    if not models.available(QWEN):
        sys.exit(f"error: {QWEN} is not here; agentkit models pull")
    PLACE.write_text(json.dumps(digests(real_model()), indent=1) + "\n", encoding="utf-8")
    print(PLACE)
