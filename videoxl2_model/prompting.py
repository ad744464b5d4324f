"""The words around a video, exactly as the public Video-XL-2 puts them. No torch, no tokenizer.

Source: the public reference implementation (VectorSpaceLab/Video-XL, folder Video-XL-2),
conversation template `qwen_1_5`, its time conversion and its group timestamps.
"""

import re

VIDEO_MARKER = "<image>"
SYSTEM_TEXT = "You are a helpful assistant."

_CLOCK_TIME = re.compile(r"\d\d:\d\d")


def time_text(time_s: float) -> str:
    """Return the text before a group's tokens, for its first frame's time in seconds."""
    return f"Time {round(float(time_s), 1)}s:"


def chat_prompt(question: str, system: str = SYSTEM_TEXT) -> str:
    """Return the whole prompt (ChatML) with one marker where the video stands.

    The marker goes in front of the question unless the question holds one already.
    """
    if VIDEO_MARKER not in question:
        question = f"{VIDEO_MARKER}\n{question}"
    return (
        f"<|im_start|>system\n{system}<|im_end|>\n"
        f"<|im_start|>user\n{question}<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def seconds_for_clock_times(text: str) -> str:
    """Write MM:SS as seconds, with the reference's own reading of odd cases.

    Matches are found left to right and do not overlap; each found string is then replaced
    everywhere, in the order found: `01:02:03` becomes `62 seconds:03`.
    """
    for found in _CLOCK_TIME.findall(text):
        minutes, seconds = found.split(":")
        text = text.replace(found, f"{int(minutes) * 60 + int(seconds)} seconds")
    return text


def prompt_parts(question: str, system: str = SYSTEM_TEXT) -> list[str]:
    """Return the prompt's texts around the video: clock times converted, split at the marker.

    Each part is tokenised by itself; the video's rows stand between them.
    """
    return seconds_for_clock_times(chat_prompt(question, system)).split(VIDEO_MARKER)
