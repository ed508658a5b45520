"""A file that torch.save wrote: a zip with a pickle in it. The pickle is read, the tensors are not
touched."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

from dsbridge.checkpoints import opcodes
from dsbridge.checkpoints.opcodes import Unreadable

_END, _END_SIZE = b"PK\x05\x06", 22
_LOCATOR, _LOCATOR_SIZE = b"PK\x06\x07", 20
_COMMENT = 1 << 16  # what may stand behind the end record
MAX_DIRECTORY = 64 * 1024 * 1024
_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of a file of before torch 1.6


def contents(path: Path) -> Any:
    """The value of a saved file, with its tensors as what they are stored in.

    Raises:
        Unreadable: no file of torch.save, damaged, or larger than is read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise Unreadable("it is no regular file")
        with path.open("rb") as file:
            head = file.read(4)
            return _zipped(file) if head[:2] == b"PK" else _plain(file)
    except (
        OSError,
        zipfile.BadZipFile,
        zlib.error,
        RuntimeError,
        NotImplementedError,
        struct.error,
    ) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise Unreadable(str(reason)[:200]) from None
    except (ValueError, EOFError, UnicodeError) as error:
        raise Unreadable(str(error)[:200]) from None


def whole(path: Path) -> str:
    """Why a file is certainly damaged; "" for one that has both ends."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            return "it is no regular file"
        if not about.st_size:
            return "it is empty"
        with path.open("rb") as file:
            if file.read(2) == b"PK":
                directory_size(file)
    except Unreadable as error:
        return str(error)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def directory_size(file: IO[bytes]) -> int:
    """Bytes of a zip's list of contents: Python reads it whole, so it is looked at before.

    Raises:
        Unreadable: there is none, as in a file that was not written to its end.
    """
    end = file.seek(0, os.SEEK_END)
    start = max(0, end - _END_SIZE - _COMMENT - _LOCATOR_SIZE)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_SIZE:
        raise Unreadable("its end is missing: it was not written to the end")
    size = int(struct.unpack_from("<L", tail, at + 12)[0])
    locator = tail[max(0, at - _LOCATOR_SIZE) : at]
    if len(locator) == _LOCATOR_SIZE and locator[:4] == _LOCATOR:
        file.seek(min(int(struct.unpack_from("<Q", locator, 8)[0]), end))
        record = file.read(56)
        if len(record) == 56:
            size = max(0 if size == 0xFFFFFFFF else size, int(struct.unpack_from("<Q", record, 40)[0]))
    if size > MAX_DIRECTORY:
        raise Unreadable(f"its list of contents has more than {MAX_DIRECTORY:,} bytes")
    return size


def _zipped(file: IO[bytes]) -> Any:
    directory_size(file)
    with zipfile.ZipFile(file) as archive:
        found = [info for info in archive.infolist() if info.filename.endswith("/data.pkl")]
        if len(found) != 1:
            raise Unreadable("it is a zip without the one data.pkl of torch.save")
        if found[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Unreadable("it is packed in a way that torch does not use")
        with archive.open(found[0]) as stream:
            data = stream.read(opcodes.MAX_BYTES + 1)
    return opcodes.read(data)


def _plain(file: IO[bytes]) -> Any:
    """The form without a zip: number, version, machine, then the value, then tensors."""
    file.seek(0)
    several = opcodes.streams(file.read(opcodes.MAX_BYTES))
    if next(several, None) != _MAGIC:
        raise Unreadable("it is no file of torch.save")
    next(several, None)
    next(several, None)
    value = next(several, None)
    if value is None:
        raise Unreadable("it does not end")
    return value
