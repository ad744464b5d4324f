"""The domain's options: the known ones are checked, others refused with the nearest."""

from typing import Any

import pytest

from agentkit.types import UsageError
from agentkit_media.options import Options


def test_what_is_not_given_has_its_default() -> None:
    given = {"highlights": 3, "sport": True, "names_language": "zh", "cut_ratio": 4}
    assert Options.of({}) == Options()
    assert Options.of(given) == Options(
        highlights=3, sport=True, names_language="zh", cut_ratio=4.0
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"highlight": 3},
            "the media domain has no option 'highlight'; did you mean 'highlights'?",
        ),
        ({"highlights": 0}, "highlights must be a whole number from 1 to 100, not 0"),
        ({"highlights": 2.5}, "highlights must be a whole number from 1 to 100, not 2.5"),
        ({"highlights": True}, "highlights must be a whole number from 1 to 100, not True"),
        ({"sport": "yes"}, "sport must be true or false, not 'yes'"),
        ({"names_language": "fr"}, "names_language must be one of auto, en, zh, not 'fr'"),
        ({"cut_ratio": "3"}, "cut_ratio must be a number from 1 to 100, not '3'"),
        ({"cut_content": float("nan")}, "cut_content must be a number from 1 to 255, not nan"),
        ({"flash_s": 3}, "flash_s must be a number from 0 to 2, not 3"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as error:
        Options.of(given)
    assert str(error.value) == said
