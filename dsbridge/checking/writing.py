"""Writing a repaired file: whole or not at all."""

from __future__ import annotations

import codecs
import os
import shutil
import tempfile
from pathlib import Path

from dsbridge.diagnostics import Code, InputError, Severity
from dsbridge.formats.document import read_text
from dsbridge.provenance import Source

NOT_WRITTEN = Code("IN041", "not-written", Severity.ERROR, "A repaired file cannot be written.")
CODES = (NOT_WRITTEN,)


def replace_text(path: Path, old: str, new: str) -> None:
    """Put a text in the place of another. A link stays a link; mode and byte order mark stay.

    Raises:
        InputError: the file has changed since it was read, or cannot be written.
    """
    at = Source(str(path))
    if read_text(path) != old:
        raise InputError([NOT_WRITTEN(f"{path} has changed while it was checked", at=at)])
    target = path.resolve()
    temporary = ""
    try:
        mark = codecs.BOM_UTF8 if target.read_bytes().startswith(codecs.BOM_UTF8) else b""
        number, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(number, "wb") as stream:
            stream.write(mark + new.encode())
        shutil.copymode(target, temporary)
        Path(temporary).replace(target)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise InputError([NOT_WRITTEN(f"cannot write {path}: {reason}", at=at)]) from None
