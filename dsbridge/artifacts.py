"""The result of rendering, and its way to the disk: all files or none."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dsbridge.diagnostics import Code, Diagnostic, InputError, Severity, has_errors
from dsbridge.framework import Launch
from dsbridge.provenance import Source

EXISTS = Code("OUT001", "file-exists", Severity.ERROR, "An output file exists already.")
NOT_WRITABLE = Code("OUT002", "not-writable", Severity.ERROR, "The output cannot be written.")
CODES = (EXISTS, NOT_WRITABLE)


class Artifacts(NamedTuple):
    """What `render` gives. Refused when a diagnostic is an error; then there are no files."""

    target: str
    files: Mapping[str, str]
    launch: Launch
    diagnostics: tuple[Diagnostic, ...]

    @property
    def refused(self) -> bool:
        return has_errors(self.diagnostics)

    def to_json(self) -> dict[str, Any]:
        """The shape the CLI contract fixes."""
        return {
            "target": self.target,
            "files": dict(self.files),
            "launch": {
                "env": dict(self.launch.env),
                "argv": list(self.launch.argv),
                "script": self.launch.script,
            },
            "diagnostics": [d.to_json() for d in self.diagnostics],
        }


def write_files(files: Mapping[str, str], folder: Path, *, force: bool = False) -> list[Path]:
    """Write every file under `folder`, each by a temporary file and a rename.

    Raises:
        InputError: a file exists and `force` is not given, or the disk refuses; nothing is written.
    """
    paths = {name: folder / name for name in files}
    existing = [p for p in paths.values() if p.exists() or p.is_symlink()]
    if existing and not force:
        hint = "Give --force to replace it, or another --out folder."
        raise InputError(EXISTS(f"{p} exists already", hint=hint, at=Source(str(p))) for p in existing)
    temporary: list[tuple[Path, Path]] = []
    try:
        for name, text in files.items():
            temporary.append((_write_beside(paths[name], text), paths[name]))
        for written, final in temporary:
            written.replace(final)
    except OSError as error:
        _remove(written for written, _ in temporary)
        reason = error.strerror or str(error)
        at = Source(str(error.filename or folder))
        raise InputError([NOT_WRITABLE(f"cannot write: {reason}", at=at)]) from None
    return list(paths.values())


def _write_beside(path: Path, text: str) -> Path:
    """A temporary file in the same folder, so that the rename stays on one file system."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(21, "a folder of that name is in the way", str(path))
    import tempfile  # imported late: it brings random and hashlib, and printing needs neither

    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as out:
            out.write(text)
        # mkstemp makes files private; a config is as readable as the user's umask says
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod((0o777 if path.suffix == ".sh" else 0o666) & ~mask)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
