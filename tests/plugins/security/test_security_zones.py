"""The file of zones and lines: what it means, and how it is refused."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.testing import stored_video
from agentkit.types import UsageError
from agentkit_security.geometry import crossed, depth, meet
from agentkit_security.options import KINDS, Options, read
from agentkit_security.preview import drawn
from agentkit_security.zones import Line, Rules, Zone, is_of, read_rules, rules_of

WHOLE = """
[[zone]]
name = "yard"
camera = "gate.mp4"
polygon = [[0.1, 0.2], [0.9, 0.2], [0.5, 0.9], [0.1, 0.2]]
enters = ["person", "car"]
loiter_s = 12
crowd = 4
crowd_s = 2.5
left_s = 60

[[line]]
name = "door"
from = [0.5, 0.1]
to = [0.5, 0.9]
kinds = ["person"]
direction = "left"
"""


def rules_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "zones.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    assert read_rules(rules_file(tmp_path, WHOLE)) == Rules(
        (
            Zone(
                "yard",
                ((0.1, 0.2), (0.9, 0.2), (0.5, 0.9)),
                "gate.mp4",
                ("person", "car"),
                12.0,
                4,
                2.5,
                60.0,
            ),
        ),
        (Line("door", (0.5, 0.1), (0.5, 0.9), "", ("person",), "left"),),
    )


def zone(**changes: str) -> str:
    values = {"name": '"yard"', "polygon": "[[0.1, 0.2], [0.9, 0.2], [0.5, 0.9]]"} | changes
    return "[[zone]]\n" + "\n".join(f"{key} = {value}" for key, value in values.items() if value)


def line(**changes: str) -> str:
    values = {"name": '"door"', "from": "[0.5, 0.1]", "to": "[0.5, 0.9]"} | changes
    return "[[line]]\n" + "\n".join(f"{key} = {value}" for key, value in values.items() if value)


REFUSED = {
    "zone = 3": "zone is no table of its own; write [[zone]]",
    "nonsense": "not a TOML file",
    "": "no rules; write a [[zone]] or a [[line]]",
    "[[zones]]": "unknown key 'zones'; did you mean 'zone'?",
    zone(name=""): "zone 1: name must be a text",
    zone(polygon=""): "zone 'yard': polygon needs three corners or more",
    zone(polygon="[[0, 0], [1, 1]]"): "polygon needs three corners or more",
    zone(polygon="[[0, 0], [1, 0], [1, 200]]"): "[1, 200] is no place; write [x, y] as shares",
    zone(polygon="[[0, 0], [1, 0], [1, true]]"): "[1, True] is no place",
    zone(polygon="[[0, 0], [1, 0], [1, nan]]"): "[1, nan] is no place",
    zone(polygon="[[0, 0], [0.5, 0], [1, 0]]"): "polygon holds no part of the picture",
    zone(polygon="[[0, 0], [1, 1], [1, 0], [0, 1]]"): "polygon crosses itself: side 1 meets side 3",
    zone(polygon="[[0, 0], [0.5, 0], [0.5, 0.8], [0.5, 0.2], [0, 0.5]]"): "polygon crosses itself",
    zone(loiter_s="0"): "loiter_s must be a number of at least 0.5, not 0",
    zone(loiter_s='"long"'): "loiter_s must be a number",
    zone(crowd="2.5"): "crowd is a number of people, not 2.5",
    zone(crowd="1"): "crowd must be a number of at least 2",
    zone(enters='"person"'): "enters must be a list of names",
    zone(enters='["persom"]'): "enters: 'persom' is not followed; did you mean 'person'?",
    zone(loiters="3"): "zone 'yard': unknown key 'loiters'; did you mean 'loiter_s'?",
    zone() + "\n" + zone(): "'yard' is there twice",
    line(to="[0.5, 0.1]"): "line 'door': from and to are one place",
    line(to=""): "to: None is no place",
    line(direction='"up"'): "this line is crossed to the left or right; direction is one of both,",
    line(direction="[]"): "direction is one of both",
}


@pytest.mark.parametrize(("text", "says"), REFUSED.items())
def test_what_cannot_be_is_refused_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    path = rules_file(tmp_path, text)
    with pytest.raises(UsageError) as refused:
        read_rules(path)
    assert says in str(refused.value)
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.toml: cannot be read as rules: No such file"):
        read_rules(tmp_path / "nowhere.toml")


def test_one_name_may_be_that_of_two_cameras(tmp_path: Path) -> None:
    text = zone(camera='"a.mp4"') + "\n" + zone(camera='"b.mp4"')
    assert len(read_rules(rules_file(tmp_path, text)).zones) == 2


def test_a_rule_is_for_the_camera_that_it_names(tmp_path: Path) -> None:
    options = Options(rules=str(rules_file(tmp_path, WHOLE)))
    gate = rules_of(options, stored_video("/v/gate.mp4"))
    other = rules_of(options, stored_video("/v/yard.mp4"))
    assert [len(r.zones) + len(r.lines) for r in (gate, other)] == [2, 1]
    assert [is_of(name, stored_video("/v/gate.mp4")) for name in ("gate", "abab", "ga", "")] == [
        True, True, False, True,
    ]  # fmt: skip


def test_without_a_file_the_whole_picture_is_the_zone() -> None:
    (whole,) = rules_of(Options(loiter_s=5, crowd=3), stored_video()).zones
    assert whole.is_whole
    assert (whole.loiter_s, whole.crowd, whole.left_s) == (5, 3, 20)


points = st.tuples(st.floats(0, 1), st.floats(0, 1))


@given(points)
def test_depth_is_that_of_a_square(point: tuple[float, float]) -> None:
    """Against the closed form for an axis-parallel square."""
    x, y = abs(point[0] - 0.5) - 0.25, abs(point[1] - 0.5) - 0.25
    outside = np.hypot(max(x, 0), max(y, 0))
    want = -outside if outside > 0 else -max(x, y)
    square = ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))
    assert depth(square, point) == pytest.approx(want, abs=1e-12)


@given(points, points, points, points)
def test_two_stretches_meet_where_one_point_is_on_both(
    a: tuple[float, float], b: tuple[float, float], c: tuple[float, float], d: tuple[float, float]
) -> None:
    """Against solving for the point."""
    matrix = np.array([[b[0] - a[0], c[0] - d[0]], [b[1] - a[1], c[1] - d[1]]])
    if abs(np.linalg.det(matrix)) < 1e-6:
        return
    s, t = np.linalg.solve(matrix, np.array([c[0] - a[0], c[1] - a[1]]))
    if min(abs(s), abs(t), abs(1 - s), abs(1 - t)) > 1e-6:
        assert meet(a, b, c, d) == (0 < s < 1 and 0 < t < 1)


@given(st.integers(3, 9), st.floats(0.05, 0.4))
def test_a_regular_polygon_does_not_cross_itself(corners: int, radius: float) -> None:
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    ring = [(0.5 + radius * np.cos(at), 0.5 + radius * np.sin(at)) for at in angles]
    assert crossed(ring) is None
    if corners >= 4:
        ring[1], ring[2] = ring[2], ring[1]
        assert crossed(ring) is not None


def test_zones_are_drawn_where_they_are() -> None:
    import io

    from PIL import Image

    grey = np.full((100, 200, 3), 128, np.uint8)
    rules = Rules((Zone("a", ((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0))),))
    shown = np.asarray(Image.open(io.BytesIO(drawn(grey, rules))))
    assert (shown[:, :98] == 128).all() or (shown[40:60, :60] == 128).all()
    assert (shown[5:30, 105:195] != 128).any(axis=2).all()


# The settings.


def test_every_setting_has_a_value_that_is_taken() -> None:
    assert read({}) == Options()
    assert read(
        {"rules": "z.toml", "track_fps": 2, "crowd": 3.0, "track_kinds": ["dog"], "blur": False}
    ) == Options("z.toml", 2.0, ("dog",), crowd=3, blur=False)
    assert read({"min_transit_s": 3}) == Options()  # linking's own


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        ({"rulez": 1}, "unknown setting 'rulez'; did you mean 'rules'?"),
        ({"min_transit": 1}, "did you mean 'min_transit_s'?"),
        ({"track_fps": 0}, "track_fps must be at least 0.2 and at most 60, not 0"),
        ({"track_fps": "5"}, "track_fps must be a number, not '5'"),
        ({"track_fps": True}, "track_fps must be a number, not True"),
        ({"crowd": 2.5}, "crowd must be a whole number, not 2.5"),
        ({"blur": "no"}, "blur must be true or false, not 'no'"),
        ({"heads": "all"}, "heads must be one of upper-part, whole-person, off, not 'all'"),
        ({"rules": 3}, "rules must be a text, not 3"),
        ({"track_kinds": []}, "track_kinds must be a list of names"),
        ({"track_kinds": ["trucks"]}, "'trucks', which is not followed; did you mean 'truck'?"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused(given_: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError) as refused:
        read(given_)
    assert str(refused.value).startswith("plugins.security: ")
    assert says in str(refused.value)


def test_what_may_be_followed_is_what_the_words_know() -> None:
    from agentkit_security.wording import texts

    for language in texts().languages:
        assert {f"thing.{kind}" for kind in KINDS} <= texts().texts[language].keys()
