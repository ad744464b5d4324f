"""Names in speech and captions, and the characters that they make."""

import pytest

from agentkit.testing import RecordedSession, stored_video
from agentkit.types import Note
from agentkit_media.characters import Character, Mention, characters_of
from agentkit_media.material import gather
from agentkit_media.names import Naming, names_in_caption, names_in_speech, speaker_in


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Hello, my name is Sarah Connor.", [("Sarah Connor", "introduced")]),
        ("I'm John, and this is Mary Poppins.", [("John", "introduced"), ("Mary Poppins", "said")]),
        ("Please welcome Dr. Jane Goodall!", [("Jane Goodall", "introduced")]),
        ("Then Dr. Watson told him.", [("Watson", "titled")]),
        ("We thank President Obama's staff.", [("Obama", "titled")]),
        ("That's why Ludwig van Beethoven wrote it.", [("Ludwig van Beethoven", "said")]),
        ("Today we leave. Tomorrow they come.", []),
        ("I'm sorry. I'm American, from New York.", []),
        ("It was in the United States on Monday.", []),
        ("大家好，我叫王小明，今天见到李老师。", [("王小明", "introduced"), ("李", "titled")]),
        ("我是李娜今年二十岁", [("李娜", "introduced")]),
        ("我是一名学生", []),
        ("", []),
    ],
)
def test_names_in_speech(text: str, names: list[tuple[str, str]]) -> None:
    assert names_in_speech(text) == [Naming(*name) for name in names]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("JANE DOE, MAYOR OF OSLO", [("Jane Doe", "captioned")]),
        ("Jane O'Neil | Chief Scientist", [("Jane O'Neil", "captioned")]),
        ("PRESIDENT OBAMA STATEMENT ON IRAN", [("Obama", "titled")]),
        ("JULY 14,2015", []),
        ("BREAKING NEWS, LIVE", []),
        ("ARS 2-1 CHE", []),
        ("张伟教授", [("张伟", "titled")]),
    ],
)
def test_names_in_captions(text: str, names: list[tuple[str, str]]) -> None:
    assert names_in_caption(text) == [Naming(*name) for name in names]


def test_a_language_is_held_to() -> None:
    assert names_in_speech("我叫王小明。 My name is Ann Lee.", "en") == [
        Naming("Ann Lee", "introduced")
    ]
    assert names_in_speech("我叫王小明。 My name is Ann Lee.", "zh") == [
        Naming("王小明", "introduced")
    ]


@pytest.mark.parametrize(
    ("text", "speaker"),
    [("My name is Ann Lee.", "Ann Lee"), ("His name is Ben.", ""), ("我叫王小明。", "王小明")],
)
def test_who_says_that_it_is_they(text: str, speaker: str) -> None:
    assert speaker_in(text) == speaker


def test_characters_have_their_arcs() -> None:
    video = stored_video("/gone/film.mp4", 100.0)
    notes = [
        Note(2.0, 4.0, "speech", "Hello, my name is Ann Lee."),
        Note(5.0, 9.0, "ocr", "ANN LEE, PILOT"),
        Note(30.0, 33.0, "speech", "We flew with Lee to see Oslo."),
        Note(34.0, 36.0, "speech", "Lee was late, and so was Oslo."),
        Note(50.0, 52.0, "speech", "They saw Bergen once."),
        Note(60.0, 64.0, "speech", "And they met Oslo again."),
    ]
    found = characters_of(gather(video, RecordedSession([video], {video.video_id: notes})))
    ann = Character(
        "Ann Lee",
        ("Lee",),
        True,
        (
            Mention(2.0, 4.0, "introduced", "speech", notes[0].text),
            Mention(5.0, 9.0, "captioned", "ocr", notes[1].text),
            Mention(30.0, 33.0, "said", "speech", notes[2].text),
            Mention(34.0, 36.0, "said", "speech", notes[3].text),
        ),
    )
    oslo = Character(
        "Oslo",
        (),
        False,
        tuple(
            Mention(n.start_s, n.end_s, "said", "speech", n.text)
            for n in notes[2:6:1]
            if "Oslo" in n.text
        ),
    )
    assert found == [ann, oslo]
    assert ann.stretches == ((2.0, 9.0), (30.0, 36.0))
    assert (ann.first_s, ann.last_s) == (2.0, 36.0)
