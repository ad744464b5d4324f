"""What looks at frames and listens to sound; one file each, all optional, all emit `Note`s."""

from agentkit.instruments.bench import (
    DEFAULT_NAMES,
    Instruments,
    InstrumentSettings,
    NoteReader,
)
from agentkit.instruments.weights import InstrumentMissingError

__all__ = [
    "DEFAULT_NAMES",
    "InstrumentMissingError",
    "InstrumentSettings",
    "Instruments",
    "NoteReader",
]
