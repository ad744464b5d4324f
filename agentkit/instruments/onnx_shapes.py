"""Lets an ONNX network take pictures of any size whose export fixed one. Knows no network.

A fully convolutional network runs at every size; only the shapes written beside its inputs and
outputs say otherwise. They are left out here, from the file's protobuf (onnx.proto3: model.graph is
field 7; a graph's inputs are 11, outputs 12, the shapes of what is between 13; a value's type is 2,
its tensor type 1, the shape of that 2). Everything else stays byte for byte.
"""

from collections.abc import Callable, Collection, Iterator

_GRAPH = 7
_INPUT, _OUTPUT, _BETWEEN = 11, 12, 13
_NAME, _TYPE, _TENSOR, _SHAPE = 1, 2, 1, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Field = tuple[int, int, bytes]  # its number, its wire type, its value as it is written


def without_shapes(model: bytes, inputs: Collection[str]) -> bytes:
    """Return the network with the shapes of `inputs`, of what is between and of all outputs open.

    Raises:
        ValueError: the bytes are no protobuf.
    """
    wanted = {name.encode() for name in inputs}

    def graph(fields: bytes) -> bytes:
        return _changed(
            fields,
            {
                _INPUT: lambda value: _opened(value) if _name_of(value) in wanted else value,
                _OUTPUT: _opened,
                _BETWEEN: lambda value: None,
            },
        )

    return _changed(model, {_GRAPH: graph})


def fields_of(message: bytes) -> Iterator[Field]:
    """Yield the fields of a protobuf message in order.

    Raises:
        ValueError: it is none.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        start = at
        if wire == _VARINT:
            _, at = _varint(message, at)
        elif wire == _BYTES:
            nbytes, start = _varint(message, at)
            at = start + nbytes
        elif wire in (_FIXED64, _FIXED32):
            at += 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire} is none of protobuf's")
        if at > len(message):
            raise ValueError("the message ends in the middle of a field")
        yield number, wire, message[start:at]


def _changed(message: bytes, change: dict[int, Callable[[bytes], bytes | None]]) -> bytes:
    """Return a message with the fields of these numbers changed; None leaves one out."""
    out = bytearray()
    for number, wire, value in fields_of(message):
        if wire == _BYTES and number in change:
            new = change[number](value)
            if new is None:
                continue
            value = new
        out += _as_varint(number << 3 | wire)
        if wire == _BYTES:
            out += _as_varint(len(value))
        out += value
    return bytes(out)


def _opened(value_info: bytes) -> bytes:
    """Return what describes an input or output without its shape."""

    def tensor(message: bytes) -> bytes:
        return _changed(message, {_SHAPE: lambda _: None})

    return _changed(value_info, {_TYPE: lambda message: _changed(message, {_TENSOR: tensor})})


def _name_of(value_info: bytes) -> bytes:
    return next((value for number, _, value in fields_of(value_info) if number == _NAME), b"")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        if at >= len(message):
            raise ValueError("the message ends in the middle of a number")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than 64 bits")


def _as_varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
