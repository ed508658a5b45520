"""A parsed text: plain values, and where each of them was written."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from dsbridge.diagnostics import Code, InputError, Severity
from dsbridge.provenance import Source

Path_: TypeAlias = tuple[str | int, ...]

UNREADABLE = Code(
    "IN001",
    "unreadable-file",
    Severity.ERROR,
    "The file cannot be read: absent, a folder, no text.",
)
SYNTAX = Code("IN002", "syntax", Severity.ERROR, "The text is not valid in its format.")
DUPLICATE = Code("IN003", "duplicate-key", Severity.ERROR, "A mapping says the same key twice.")
TOO_LARGE = Code("IN004", "too-large", Severity.ERROR, "The file is larger or deeper than any config.")
CODES = (UNREADABLE, SYNTAX, DUPLICATE, TOO_LARGE)

MAX_BYTES = 4 * 1024 * 1024  # the largest config in the corpus has 40 KiB


class Document(NamedTuple):
    """`value` is made of dict, list, str, int, float, bool and None.

    loose: JSON with comments or the like, which a strict parser refuses.
    """

    value: Any
    file: str
    keys: Mapping[Path_, Source] = MappingProxyType({})
    values: Mapping[Path_, Source] = MappingProxyType({})
    loose: bool = False

    def at(self, path: Path_, *, key: bool = False) -> Source:
        """Where `path` is written; the nearest parent that has a place, if it has none."""
        tables = (self.keys, self.values) if key else (self.values, self.keys)
        for end in range(len(path), -1, -1):
            for table in tables:
                if path[:end] in table:
                    return table[path[:end]]
        return Source(self.file)


def read_text(path: Path | str) -> str:
    """The text of a file, or an InputError that says why there is none."""
    file = Path(path)
    at = Source(str(path))
    try:
        about = file.stat()
        if stat.S_ISDIR(about.st_mode):
            raise InputError([UNREADABLE(f"{path} is a folder, not a file", at=at)])
        if about.st_size > MAX_BYTES:
            raise InputError([_too_large(f"{path} has {about.st_size:,} bytes", at)])
        data = _bytes(file, regular=stat.S_ISREG(about.st_mode))
        if len(data) > MAX_BYTES:
            raise InputError([_too_large(f"{path} does not end", at)])
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError([UNREADABLE(f"cannot read {path}: {reason}", at=at)]) from None
    except ValueError as error:  # a NUL byte in the name
        raise InputError([UNREADABLE(f"cannot read {path!r}: {error}", at=at)]) from None
    return decode(data, str(path))


def _bytes(file: Path, *, regular: bool) -> bytes:
    """What is in it, as far as it is read: a device or a pipe has no size of its own."""
    if regular:
        return file.read_bytes()
    with file.open("rb") as stream:
        return stream.read(MAX_BYTES + 1)


def decode(data: bytes, file: str) -> str:
    """UTF-8 text, with or without a byte order mark."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"byte 0x{data[error.start]:02x} is not UTF-8 text"
        hint = "Save the file as UTF-8; a binary file is no spec."
        raise InputError([UNREADABLE(message, hint=hint, at=Source(file, line))]) from None
    if "\x00" in text:
        line = text.count("\n", 0, text.index("\x00")) + 1
        message = "the file holds NUL bytes: it is binary or UTF-16"
        raise InputError([UNREADABLE(message, hint="Save it as UTF-8.", at=Source(file, line))])
    return text


def _too_large(what: str, at: Source) -> Any:
    return TOO_LARGE(f"{what}; at most {MAX_BYTES:,} are read", at=at)
