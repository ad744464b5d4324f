"""A protocol file says what it says; what is wrong with it is said with file, step and remedy."""

import pytest

from agentkit.types import UsageError
from agentkit_healthcare.cues import found
from agentkit_healthcare.options import Options
from agentkit_healthcare.protocol import Check, Cues, Protocol, Step, load, parse, shipped

SMALL = """
source = "a book"
[title]
en = "Tea"
zh = "茶"
[[step]]
id = "boil"
name = { en = "Boil water", zh = "烧水" }
label = "Boil"
min_s = 10
max_s = 300
[step.cues.en]
words = ["boil", "kettle on"]
text = ["100 C"]
[step.cues.zh]
words = ["烧水"]
objects = ["水壶"]
[[step]]
id = "pour"
name.en = "Pour it"
optional = true
may_repeat = true
[[check]]
id = "lid"
before = "pour"
name.en = "Lid on"
cues.en.words = ["lid is on"]
"""


def test_a_file_is_read_whole() -> None:
    protocol = parse(SMALL, "tea.toml")
    boil = Step(
        "boil", {"en": "Boil water", "zh": "烧水"}, "Boil",
        Cues(("boil", "kettle on", "烧水"), ("100 C",), ("水壶",)),
        min_s=10.0, max_s=300.0,
    )  # fmt: skip
    pour = Step("pour", {"en": "Pour it"}, "PourIt", optional=True, may_repeat=True)
    lid = Check("lid", {"en": "Lid on"}, Cues(("lid is on",)), "pour")
    titles = {"en": "Tea", "zh": "茶"}
    assert protocol == Protocol("tea", titles, "a book", (boil, pour), (lid,), protocol.digest)
    assert parse(SMALL + "\n", "tea.toml").digest != protocol.digest
    assert (boil.name("zh"), pour.name("zh"), boil.name("fr")) == ("烧水", "Pour it", "Boil water")


def test_cholec80_has_the_datasets_seven_phases_in_its_own_words() -> None:
    assert [step.label for step in load("cholec80").steps] == [
        "Preparation",
        "CalotTriangleDissection",
        "ClippingCutting",
        "GallbladderDissection",
        "GallbladderPackaging",
        "CleaningCoagulation",
        "GallbladderRetraction",
    ]


@pytest.mark.parametrize("name", shipped())
def test_shipped_protocols_speak_both_languages_and_name_their_source(name: str) -> None:
    protocol = load(name)
    named = [
        protocol.titles,
        *(s.names for s in protocol.steps),
        *(c.names for c in protocol.checks),
    ]
    assert all(set(names) == {"en", "zh"} for names in named)
    assert "20" in protocol.source
    assert all(found(step.names.values(), step.names["en"]) for step in protocol.steps)


def test_a_file_of_ones_own_is_loaded_by_its_path(tmp_path) -> None:
    path = tmp_path / "tea.toml"
    path.write_text(SMALL, encoding="utf-8")
    assert load(str(path)).steps == parse(SMALL, "tea.toml").steps


STEP = '[title]\nen = "T"\n[[step]]\nid = "a"\nname.en = "A"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[step]", ("f.toml", "no TOML")),
        ('title.en = "T"', ("f.toml", "no step", "[[step]]")),
        (STEP.replace('"a"', '"A b"'), ("f.toml", "step 1", "'A b'", "small letters")),
        (STEP.replace('name.en = "A"', ""), ("step 'a'", "name.en")),
        (STEP + "min_seconds = 3", ("step 'a'", "'min_seconds'", "did you mean 'min_s'?")),
        (STEP + "min_s = -1", ("step 'a'", "min_s is -1", "0 or more")),
        (STEP + "min_s = nan", ("step 'a'", "min_s is nan")),
        (STEP + "min_s = 9\nmax_s = 3", ("step 'a'", "max_s 3 is below min_s 9")),
        (STEP + 'optional = "yes"', ("step 'a'", "true or false")),
        (STEP + 'cues.en.words = "x"', ("step 'a'", "cues.en.words", "list of texts")),
        (STEP + 'cues.en.words = ["..."]', ("step 'a'", "without a letter")),
        (STEP + 'cues.en.wrds = ["x"]', ("step 'a'", "did you mean 'words'?")),
        (STEP + "cues.en = 3", ("step 'a'", "cues.en: is no table")),
        (STEP + "cues = 3", ("step 'a'", "cues is no table")),
        (STEP + '[[step]]\nid = "a"\nname.en = "B"', ("step 'a'", "stands twice")),
        (STEP + '[[check]]\nid = "c"\nname.en = "C"', ("check 'c'", "no cues")),
        (
            STEP + '[[check]]\nid = "c"\nname.en = "C"\nbefore = "aa"\ncues.en.words = ["x"]',
            ("check 'c'", "'aa'", "no step", "did you mean 'a'?"),
        ),
        ("step = 3\ntitle.en = 'T'", ("f.toml", "[[step]]")),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_file_place_and_remedy(
    text: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError) as raised:
        parse(text, "f.toml")
    assert str(raised.value).startswith("f.toml: ")
    for word in words:
        assert word in str(raised.value)


def test_an_unknown_protocol_is_answered_with_the_nearest_and_all(tmp_path) -> None:
    with pytest.raises(UsageError, match=r"did you mean 'cholec80'.*knee_arthroscopy.*TOML file"):
        load("cholec8")
    binary = tmp_path / "b.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="UTF-8"):
        load(str(binary))


@pytest.mark.parametrize(
    ("phrase", "text", "stands"),
    [
        ("clip applier", "CLIP APPLIERS in hand", True),
        ("Calot's triangle", "calots triangle", True),
        ("calot triangle dissection", "PHASE:CALOTTRIANGLEDISSECTION", True),
        ("hook", "a fish-hook", True),
        ("hook", "hooked", False),
        ("forceps", "FORCEPS", True),
        ("胆囊三角", "现在解剖胆囊三角区域", True),
        ("bag", "baggage", False),
        ("irrigation", "\uff49rrigation", True),
    ],
)  # fmt: skip
def test_a_phrase_is_found_as_people_print_it(phrase: str, text: str, stands: bool) -> None:
    assert found([phrase], text) == ((phrase,) if stands else ())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"protocl": "x"}, "did you mean 'protocol'?"),
        ({"decoder": "crf"}, "one of hmm, monotone"),
        ({"ask": True}, "one of never, unsure, always"),
        ({"ask_limit": 1.5}, "a whole number"),
        ({"ask_limit": -1}, "from 0"),
        ({"hold_s": float("nan")}, "a number from 0"),
        ({"names": [3]}, "a list of texts"),
        ({"names": ["-"]}, "at least one letter"),
        ({"protocol": ""}, "a text"),
    ],
)
def test_a_wrong_option_is_refused_with_what_would_be_right(given: dict, words: str) -> None:
    with pytest.raises(UsageError) as raised:
        Options.of(given)
    assert words in str(raised.value)


def test_names_come_from_the_list_and_the_file(tmp_path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("Weber\n\n Ada Lovelace \n", encoding="utf-8")
    options = Options.of({"names": ["Meier"], "names_file": str(path)})
    assert options.all_names == ("Meier", "Weber", "Ada Lovelace")
    with pytest.raises(UsageError, match="names_file"):
        _ = Options.of({"names_file": str(tmp_path / "none.txt")}).all_names
