"""Values of a bundle as JSON and back. What comes back is untrusted: every type is looked at."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from types import NoneType, UnionType
from typing import Any, NewType, TypeVar, get_args, get_origin, get_type_hints

from agentkit_storage.errors import StoreError

FORMAT = 1  # of bundles; raised when a reader of before could misread one
SHA256 = re.compile(r"[0-9a-f]{64}")
MAX_NAME_BYTES = 200
_MAX_INT = 2**31 - 1  # what every database's integer column holds
_MAX_BYTES = 2**53

T = TypeVar("T")
Bytes = NewType("Bytes", int)
Form = dict[str, Any]


class BundleError(StoreError, ValueError):
    """A bundle is damaged, or holds what no bundle of ours would; nothing of it was stored."""


class FormError(Exception):
    """A value has not the form that it should have; the caller knows which bundle it is in."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a bundle."""

    name: str
    nbytes: Bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class BundleSpace:
    """Who made a space's vectors, and of how many numbers they are."""

    name: str
    fingerprint: str
    size: int


@dataclass(frozen=True, slots=True)
class BundleKv:
    """One stored cache: of a chunk, or of the system prefix (-1); its file is named by `blob`."""

    fingerprint: str
    number: int
    blob: str


@dataclass(frozen=True, slots=True)
class BundleVideo:
    """One video of a bundle, without its chunks. `name` is its file's, never a path."""

    video_id: str
    name: str
    fingerprint: str
    tiers: tuple[str, ...]
    row: Form
    chunks: int
    has_heard: bool  # the sound track was listened to
    has_footage: bool
    kv: tuple[BundleKv, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle says of itself."""

    format: int
    schema: str
    spaces: tuple[BundleSpace, ...]
    videos: tuple[BundleVideo, ...]
    members: tuple[Member, ...]


def dump(value: object) -> bytes:
    """Return one line of JSON; the same for the same value."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def load(line: bytes) -> Any:
    """Return what a line of JSON says, or raise FormError."""
    try:
        return json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise FormError("no JSON as we write it") from error


def form(value: Any) -> Form:
    """Return a dataclass's fields as JSON takes them, in their order."""
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}


def parse(kind: type[T], given: object, left_out: Mapping[str, Any] | None = None) -> T:
    """Return a dataclass from its form: every field of its type, none missing, none unknown.

    `left_out` are fields that the form does not carry.

    Raises:
        FormError
    """
    return kind(**checked(kind, given, left_out or {}), **(left_out or {}))


def checked(kind: type, given: object, left_out: Mapping[str, Any] | Sequence[str]) -> Form:
    """Return the values of a form, or raise FormError. A field with a default may be missing."""
    if not isinstance(given, dict):
        raise FormError(f"no {kind.__name__}")
    hints = {name: hint for name, hint in get_type_hints(kind).items() if name not in left_out}
    if unknown := given.keys() - hints.keys():
        raise FormError(f"a {kind.__name__} has no {min(unknown)!r}")
    needed = {each.name for each in fields(kind) if each.default is MISSING}
    if missing := (needed & hints.keys()) - given.keys():
        raise FormError(f"a {kind.__name__} without {min(missing)!r}")
    return {name: _checked(hints[name], value, name) for name, value in given.items()}


def safe_name(path: str) -> str:
    """Return a path's file name as one that no system takes for more than a name."""
    name = PurePath(path).name
    name = "".join(char if _is_harmless(char) else "_" for char in name).rstrip(". ")
    stem, suffix = name[:MAX_NAME_BYTES], PurePath(name).suffix[:12]
    while len(os.fsencode(name)) > MAX_NAME_BYTES:
        stem = stem[:-1]
        name = f"{stem}{suffix}"
    return "video" if name in ("", ".", "..") else name


def is_safe_name(name: str) -> bool:
    """Say whether a name from outside may become a file's name."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return safe_name(name) == name == PurePosixPath(name).name == PureWindowsPath(name).name


def _is_harmless(char: str) -> bool:
    # A byte that is no UTF-8 stands as half of a surrogate pair, which is not printable.
    return (char.isprintable() or "\udc80" <= char <= "\udcff") and char not in '/\\:*?"<>|'


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return form(value)
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _checked(hint: Any, value: Any, name: str) -> Any:
    """Return `value` as `hint` wants it: floats from whole numbers, tuples from lists."""
    arms = get_args(hint) if get_origin(hint) is UnionType else (hint,)
    if value is None and NoneType in arms:
        return None
    inner = next(arm for arm in arms if arm is not NoneType)
    if get_origin(inner) is tuple:
        return _tuple(get_args(inner), value, name)
    if is_dataclass(inner) and isinstance(inner, type):
        return parse(inner, value)
    if inner == Form and isinstance(value, dict):
        return value
    if not _is_of(inner, value):
        raise FormError(f"{name!r} is {str(value)[:40]!r}")
    return float(value) if inner is float else value


def _is_of(kind: Any, value: Any) -> bool:
    if kind is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and -1e300 < value < 1e300  # NaN fails both
    if kind is int:
        return type(value) is int and -1 <= value <= _MAX_INT
    if kind is Bytes:
        return type(value) is int and 0 <= value <= _MAX_BYTES
    return type(value) is kind


def _tuple(kinds: tuple[Any, ...], value: Any, name: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise FormError(f"{name!r} is no list")
    if kinds[-1] is Ellipsis:
        return tuple(_checked(kinds[0], each, name) for each in value)
    if len(kinds) != len(value):
        raise FormError(f"{name!r} has {len(value)} values")
    return tuple(_checked(kind, each, name) for kind, each in zip(kinds, value, strict=True))
