"""Many cameras come to one clock; what the user says wins."""

import math
from dataclasses import replace

import pytest

from agentkit.testing import RecordedSession, stored_video
from agentkit.types import UsageError
from agentkit_security.linking.cameras import link_cameras
from agentkit_security.linking.clocks import given_clocks, shared_clock
from agentkit_security.linking.offsets import settled
from agentkit_security.linking.options import LinkOptions
from agentkit_security.linking.results import LinkResult, Offset, as_json


def test_clocks_are_chained_over_the_surest_offsets() -> None:
    offsets = [
        Offset("a", "b", 2.0, 0.99, "activity"),
        Offset("b", "c", 3.0, 0.95, "sound"),
        Offset("a", "c", 9.0, 0.91, "light"),  # says otherwise, less surely
        Offset("c", "d", 1.0, 0.2, "activity"),  # not sure: d stays apart
    ]
    assert shared_clock("abcd", offsets, {}) == {"a": 0.0, "b": 2.0, "c": 5.0}


def test_given_clocks_stay_and_others_come_to_them() -> None:
    offsets = [Offset("a", "b", 2.0, 1.0, "given"), Offset("b", "c", -3.0, 0.95, "sound")]
    assert shared_clock("abc", offsets, {"a": 10.0, "b": 12.0}) == {"a": 10.0, "b": 12.0, "c": 9.0}


def test_the_same_from_either_side() -> None:
    forth = [Offset("a", "b", 2.0, 0.99, "sound"), Offset("b", "c", 3.0, 0.95, "sound")]
    back = [offset.turned() for offset in forth]
    assert shared_clock("abc", forth, {}) == shared_clock("abc", back, {})


def test_cameras_that_nothing_joins_have_no_clock() -> None:
    assert shared_clock("ab", [Offset("a", "b", 2.0, 0.5, "activity")], {}) == {}
    assert shared_clock("ab", [Offset("a", "b", math.nan, 0.0, "none")], {"b": 4.0}) == {"b": 4.0}


def test_a_video_is_named_by_id_prefix_or_file() -> None:
    door = stored_video("/films/door.mp4", video_id="abcd" * 16)
    yard = stored_video("/films/yard.mp4", video_id="ef01" * 16)
    for name in (door.video_id, "abcdab", "door.mp4", "door", "/films/door.mp4"):
        assert given_clocks([door, yard], {name: 3.0, "other": 5.0}) == {door.video_id: 3.0}
    assert given_clocks([door, yard], {"abc": 3.0}) == {}  # too short to mean it


def test_ways_that_contradict_each_other_are_not_sure() -> None:
    found = [
        Offset("a", "b", 7.4, 0.99, "activity", 1.0),
        Offset("a", "b", 20.0, 0.95, "light", 2.0),
        Offset("a", "b", 50.0, 0.5, "trajectories", 4.0),
        Offset("a", "b", 7.6, 0.97, "passages", 3.0),
    ]
    best = settled(found)
    assert best == Offset("a", "b", 7.4, 0.495, "activity", 20.0)
    assert settled([found[0], found[2], found[3]]) == found[0]
    surer = replace(found[0], confidence=0.999)
    assert settled([surer, *found[1:]]) == surer  # what is far less sure is no contradiction
    assert settled([]) is None


def test_a_sure_way_wins_over_a_finer_one_that_is_not() -> None:
    unsure, sure = Offset("a", "b", 1.0, 0.3, "sound"), Offset("a", "b", 7.0, 0.97, "passages")
    assert settled([unsure, sure]) == sure


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"min_transit_s": -1}, "min_transit_s"),
        ({"max_transit_s": "long"}, "max_transit_s"),
        ({"min_transit_s": 9, "max_transit_s": 3}, "min_transit_s"),
        ({"min_probability": 2}, "min_probability"),
        ({"min_probability": True}, "min_probability"),
        ({"offsets": [1, 2]}, "offsets"),
        ({"offsets": {"a": "x"}}, "offsets.a"),
        ({"offsets": {"a": math.inf}}, "offsets.a"),
    ],
)
def test_settings_are_checked(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        LinkOptions.read(options)


def test_settings_of_others_are_left_alone() -> None:
    given = {"zones": "x.toml", "max_transit_s": 30, "offsets": {"a": 1}}
    assert LinkOptions.read(given) == LinkOptions(max_transit_s=30.0, offsets={"a": 1.0})


def test_one_video_is_not_enough() -> None:
    video = stored_video()
    with pytest.raises(UsageError, match="two"):
        link_cameras([video, video], RecordedSession([video]))


def test_json_has_no_nan() -> None:
    result = LinkResult((Offset("a", "b", math.nan, 0.0, "none"),), {"a": 0.0}, ())
    assert as_json(result) == {
        "offsets": [
            {
                "a": "a",
                "b": "b",
                "seconds": None,
                "confidence": 0.0,
                "how": "none",
                "runner_up_s": None,
                "sure": False,
            }
        ],
        "clock_s": {"a": 0.0},
        "links": [],
    }
