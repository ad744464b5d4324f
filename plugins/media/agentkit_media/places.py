"""Which tags of a picture name a place, and whether it lies in or out of doors.

The tags are ImageNet's labels; most of them name things. A place that no label names is not known.
"""


def _labels(text: str) -> frozenset[str]:
    return frozenset(" ".join(label.split()) for label in text.split("|"))


ROOMS = _labels(
    """bakery | barbershop | bookstore | butcher shop | candy store | movie theater | greenhouse |
    grocery store | home theater | library | planetarium | prison | restaurant | shoe store |
    stage | tobacco shop | toy store | vaulted or arched ceiling"""
)
OUTSIDE = _labels(
    """barn | beach | bell tower | boathouse | breakwater | castle | church | cliff | dam | dock |
    cliff dwelling | coral reef | geyser | lakeshore | lighthouse | maze | megalith | mobile home |
    monastery | mosque | mountain | obelisk | palace | patio | pier | promontory | sandbar |
    sawmill | stone wall | stupa | suspension bridge | through arch bridge | triumphal arch |
    valley | viaduct | volcano | water tower | yurt"""
)
# Things that stand in a room or outside: they say in or out, and name no place.
OF_ROOMS = _labels(
    """altar | barber chair | bathtub | bookcase | china cabinet | couch | desk | dining table |
    dishwasher | filing cabinet | four-poster bed | front curtain | infant bed | medicine cabinet |
    microwave oven | photocopier | pool table | refrigerator | shower curtain | sliding door |
    stove | toilet seat | turnstile | wardrobe | washing machine | window shade"""
)
OF_OUTSIDE = _labels(
    """chain-link fence | construction crane | corn | flagpole | fountain | hay | park bench |
    parking meter | picket fence | rapeseed | split-rail fence | tile roof | totem pole |
    traffic light | traffic or street sign"""
)


def place_of(tag: str) -> str:
    """Return the tag where it names a place, else nothing."""
    return tag if tag in ROOMS | OUTSIDE else ""


def doors_of(tag: str) -> str:
    """Return "INT." or "EXT." where a tag says so, else nothing."""
    if tag in ROOMS | OF_ROOMS:
        return "INT."
    return "EXT." if tag in OUTSIDE | OF_OUTSIDE else ""
