"""What is redacted, what stays, and that nothing is shown where redaction cannot be made."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.plugin_manager import Domain, PluginError
from agentkit.testing import RecordedSession, stored_video
from agentkit.types import Detection, Note, UsageError
from agentkit_healthcare import names
from agentkit_healthcare.deidentify import (
    known_names,
    redact_frames,
    redact_text,
    redacted,
    telling_boxes,
)
from agentkit_healthcare.lexicon import instruments
from agentkit_healthcare.protocol import load, shipped
from agentkit_healthcare.texts import prompts

VIDEO = stored_video(duration_s=60.0)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("PATIENT: JOHANNA WEBER BORN 14.03.1962", "PATIENT: [name] BORN [date]"),
        ("DR. KOWALSKI MRN 4471982 2024-05-17", "DR. [name] MRN [id] [date]"),
        ("DR.KOWALSKI MRN 44719822024-05-17", "DR.[name] MRN [id]"),
        ("PATIENT JOHANNA WEBER", "PATIENT [name]"),
        ("PATIENT: MURPHY", "PATIENT: [name]"),
        ("NAME: WEBER, JOHANNA  DOB: 03/14/62", "NAME: [name]  DOB: [date]"),
        ("Patient's name: anna weber", "Patient's name: [name]"),
        ("Dr. Hartmann opens Hartmann's pouch", "Dr. [name] opens Hartmann's pouch"),
        ("Prof. Dr. med. Schmidt und Frau Weber", "Prof. Dr. med. [name] und Frau [name]"),
        ("Mr. O'Brien and Nurse Lee", "Mr. [name] and Nurse [name]"),
        ("Dr Anna-Lena Müller helps", "Dr [name] helps"),
        ("case no. A-12345, SSN 123-45-6789", "case no. [id], SSN [id]"),
        ("Call 555-123-4567 or +49 30 1234567", "Call [phone] or [phone]"),
        ("a.b@c.org, https://x.org/y?z=1", "[email], [url]"),
        ("on May 17, 2024 and 3rd of March; March 2024", "on [date] and [date]; [date]"),
        ("am 17. März 2024 operiert", "am [date] operiert"),
        ("a 93-year-old, aged 91", "a [age over 89]-year-old, aged [age over 89]"),
        ("12 Main Street, Hauptstraße 5", "[address], [address]"),
        ("患者姓名:张三丰 住院号:A12345 2024年5月17日", "患者姓名:[name] 住院号:[id] [date]"),
        ("姓名\uff1a张三丰\uff0c住院号\uff1aA12345", "姓名\uff1a[name]\uff0c住院号\uff1a[id]"),
        ("王医生主刀 手机13812345678", "[name]医生主刀 手机[phone]"),
        ("10.0.0.17", "[ip]"),
        ("PATIENT: WE\u200bBER, born 14.\ufeff03.1962", "PATIENT: [name], born [date]"),
        (
            "患者姓名:张三丰 住院号:\uff21\uff11\uff12\uff13\uff14\uff15",
            "患者姓名:[name] 住院号:[id]",
        ),
    ],
)
def test_identifiers_are_replaced_by_their_kind(text: str, shown: str) -> None:
    assert redacted(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "PHASE: CALOT TRIANGLE DISSECTION",
        "Calot's triangle, Hartmann's pouch, a Veress needle and a Hasson trocar",
        "Patient positioned supine, reverse Trendelenburg. PATIENT POSITIONED SUPINE",
        "a 5 mm trocar at 12 mmHg; 2 of 7 steps; 00:12-00:20; 14 clips in 2017, 12.5 s",
        "the 63-year-old man bleeds; the patient is stable",
        "may 4 clips be used?",
        "Dr. takes the hook; the nurse practitioner helps",
        "医生在分离胆囊管,患者已麻醉",
        "PATIENT SAFETY CHECKLIST. Patient Identity Confirmed",
        "at 10:32:11",
    ],
)
def test_words_of_medicine_numbers_and_times_stay(text: str) -> None:
    assert redacted(text) == text


def test_all_that_the_plugin_itself_says_stays() -> None:
    """Reports pass through redaction: their own words, protocols and instruments must survive."""
    own = [text for texts in prompts().texts.values() for text in texts.values()]
    for protocol in map(load, shipped()):
        own += [protocol.source, *protocol.titles.values()]
        own += [name for step in protocol.steps for name in step.names.values()]
        own += [name for check in protocol.checks for name in check.names.values()]
        own += [c for s in protocol.steps for c in (*s.cues.words, *s.cues.text, *s.cues.objects)]
    own += [name for item in instruments() for name in item.all_names]
    assert [(text, redacted(text)) for text in own if redacted(text) != text] == []


PIECES = (
    "Dr.", "PATIENT:", "name", "Weber", "JOHANNA", "14.03.1962", "MRN", "4471982", "[name]", ",",
    "[date]", ":", " ", "\n", "may", "17", "2024", "tel", "+49 30 12", "王", "医生", "姓名:",
    "Calot", "a@b.cd", "born", "aged", "93", "-", "Main Street", "www.", "id", "[", "]", "x",
)  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=12), st.booleans())
def test_redacting_twice_is_redacting_once(pieces: list[str], spaced: bool) -> None:
    once = redacted((" " if spaced else "").join(pieces), ["Ada"], ["Weber"])
    assert redacted(once, ["Ada"], ["Weber"]) == once


@given(st.text(max_size=200))
def test_any_text_is_taken_and_comes_out_settled(text: str) -> None:
    assert redacted(redacted(text)) == redacted(text)


NAMES = st.sampled_from(["Johanna Weber", "Ada Lovelace", "Bo Li", "Zoë Ångström", "Karl O'Neil"])
TITLES = st.sampled_from(
    ["Dr. ", "Dr ", "Mrs. ", "Nurse ", "Herr ", "Patient: ", "Name: ", "SURGEON: "]
)


@given(TITLES, NAMES, st.booleans())
def test_no_part_of_an_announced_name_is_left(title: str, name: str, capitals: bool) -> None:
    text = f"{title}{name} holds the camera"
    shown = redacted(text.upper() if capitals else text).casefold()
    assert not any(part.casefold() in shown for part in name.split() if len(part) > 2)
    assert "camera" in shown


@given(
    st.dates(),
    st.sampled_from(["%d.%m.%Y", "%Y-%m-%d", "%m/%d/%Y", "%d %B %Y", "%B %d, %Y", "%Y%m%d"]),
)
def test_no_exact_date_of_these_times_is_left(date, form: str) -> None:
    date = date.replace(year=1900 + date.year % 200)
    assert redacted(f"seen {date.strftime(form)} here") == "seen [date] here"


def session_of(*notes: Note, **rules) -> RecordedSession:
    return RecordedSession([VIDEO], {VIDEO.video_id: notes}, Domain.load("healthcare"), **rules)


def shown(text: str, box=(0.1, 0.8, 0.5, 0.9)) -> Note:
    return Note(0, 4, "ocr", text, 0.99, box)


def test_a_name_announced_once_is_hidden_wherever_it_stands() -> None:
    session = session_of(shown("PATIENT: JOHANNA WEBER"), shown("DR. BROWN"), shown("DR. CALOT"))
    assert known_names(VIDEO, session) == ["BROWN", "JOHANNA", "WEBER"]
    said = "Johanna is asleep; Brown cuts the brown tissue in Calot's triangle. WEBERX-RAY"
    hidden = "[name] is asleep; [name] cuts the brown tissue in Calot's triangle. [name]X-RAY"
    assert redact_text(said, VIDEO, session) == hidden


def test_two_known_names_side_by_side_are_hidden_however_they_are_written() -> None:
    session = session_of(shown("PATIENT: JOHANNA WEBER"), shown("DR. BROWN"))
    said = "HOOK johanna weber; weber,johanna; brown tissue; We\u00adber; a weberian johanna"
    hidden = "HOOK [name]; [name]; brown tissue; [name]; a weberian johanna"
    assert redact_text(said, VIDEO, session) == hidden


@given(st.text(alphabet="aWeber \u200b\u200c\u200d\u00ad\ufeff\uff21\uff11.:[]", max_size=30))
def test_letters_that_nobody_sees_are_settled_at_once(text: str) -> None:
    once = redacted(text, [], ["Weber"])
    assert redacted(once, [], ["Weber"]) == once
    assert "Weber" not in once.replace("\u200b", "").split()


def test_names_of_a_list_are_hidden_however_they_are_written(tmp_path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("Ada Lovelace\n", encoding="utf-8")
    session = session_of(options={"names": ["weber", "李雷"], "names_file": str(path)})
    text = "WEBER met ada  lovelace; 李雷说; Weberian"
    assert redact_text("PATIENT: ADA WEBER", VIDEO, session) == "PATIENT: [name]"
    assert redact_text(text, VIDEO, session) == "[name] met [name]; [name]说; Weberian"


def test_frames_are_blurred_where_writing_faces_and_telling_texts_are() -> None:
    def see(image, what) -> list[Detection]:
        box = (0.0, 0.0, 0.2, 0.2) if what == "texts" else (0.8, 0.0, 1.0, 0.2)
        return [Detection(what[:-1], 0.9, box)]

    session = session_of(
        shown("PATIENT: JOHANNA WEBER"), shown("HOOK", (0.4, 0.4, 0.5, 0.5)), see=see
    )
    assert telling_boxes(VIDEO, session) == [(0.1, 0.8, 0.5, 0.9)]
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (100, 200, 3), dtype=np.uint8) for _ in range(2)]
    before = [image.copy() for image in images]
    for image, was, shown_image in zip(
        images, before, redact_frames(images, VIDEO, session), strict=True
    ):
        changed = (shown_image != was).any(axis=-1)
        for rows, columns in ((slice(0, 20), slice(0, 40)), (slice(0, 20), slice(160, 200))):
            assert changed[rows, columns].mean() > 0.95
        assert changed[80:90, 20:100].mean() > 0.95
        assert not changed[40:50, 80:100].any()  # an instrument's name that no detector found
        assert (image == was).all()


@pytest.mark.parametrize("lost", ["texts", "faces"])
def test_where_a_detector_is_missing_nothing_is_shown(lost: str) -> None:
    def see(image, what) -> list[Detection]:
        if what == lost:
            raise RuntimeError("no weights")
        return []

    session = session_of(see=see)
    images = [np.zeros((10, 10, 3), np.uint8)]
    with pytest.raises(PluginError, match="no weights"):
        session.domain.redact_frames(images, VIDEO, session)


def test_a_wrong_option_hides_everything() -> None:
    session = session_of(options={"nams": ["Weber"]})
    with pytest.raises(UsageError, match="nams"):
        session.domain.redact_text("Weber", VIDEO, session)


def test_the_kept_words_are_no_titles() -> None:
    assert {"calot", "veress", "trocar", "hartmann"} <= names.kept_words()
    assert not {"dr", "mr", "herr"} & names.kept_words()


@pytest.mark.parametrize(
    "place",
    [(0.3, 0.1, 0.5, 0.15), (0.1, 0.17, 0.3, 0.22), None],
    ids=["right of its label", "under its label", "after its label"],
)
def test_a_name_whose_label_is_another_text_is_hidden(
    place: tuple[float, float, float, float] | None,
) -> None:
    label = Note(0.0, 4.0, "ocr", "PATIENT:", 0.9, place and (0.1, 0.1, 0.25, 0.15))
    name = Note(0.0, 4.0, "ocr", "JOHANNA WEBER", 0.9, place)
    hook = Note(0.0, 4.0, "ocr", "HOOK", 0.9, place and (0.6, 0.8, 0.7, 0.85))
    session = session_of(hook, label, name)
    hidden = [session.domain.redact_text(n.text, VIDEO, session) for n in (name, hook)]
    assert hidden == ["[name]", "HOOK"]
