"""Scripts that read files themselves: `json.load(open("ds.json"))` is worth what the file holds."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from dsbridge.diagnostics import InputError
from dsbridge.formats.calls import CallSite, Script, is_plain
from dsbridge.formats.document import SYNTAX
from dsbridge.formats.script import _Statements
from dsbridge.provenance import Source

_LOADS = ("json.load", "json.loads")
_TEXTS = ("read", "read_text")


class Loaded(NamedTuple):
    """A file that the script reads: its name, what it is worth, or why that fails; before which call."""

    file: str
    value: Any
    error: tuple[str, str] | None
    before: int
    line: int


class FileReader(_Statements):
    """Follows a script, and the JSON files that it loads."""

    def __init__(
        self, text: str, environ: Mapping[str, str], files: Callable[[str], str], known: Mapping[str, Any]
    ) -> None:
        super().__init__(text, environ)
        self.files, self.known = files, known
        self.loaded: list[Loaded] = []

    def _builtin(
        self, node: ast.Call, owner: Any, name: str, args: list[Any], keywords: dict[str, Any]
    ) -> tuple[Any] | None:
        if name in _LOADS and args:
            path = self._path(args[0])
            if isinstance(path, str) and not self.maybe:
                return (self._load(path, node.lineno),)
        return super()._builtin(node, owner, name, args, keywords)

    def _path(self, value: Any) -> Any:
        """The file behind open(...), Path(...).read_text() or open(...).read()."""
        while isinstance(value, CallSite):
            if value.short in ("open", "Path") and value.args:
                return self._named(value.args[0])
            if value.short not in _TEXTS:
                return None
            value = value.owner
        return None

    def _named(self, value: Any) -> Any:
        """A file name, also one that the script takes from its command line."""
        if isinstance(value, str):
            return value
        name = getattr(value, "name", None)
        return self.known.get(name) if isinstance(name, str) else None

    def _load(self, path: str, line: int) -> Any:
        try:
            value, error = json.loads(self.files(path)), None
        except InputError:
            message = f"[Errno 2] No such file or directory: {path!r}"
            value, error = self._unread(ast.Constant(path)), ("FileNotFoundError", message)
        except json.JSONDecodeError as problem:
            value, error = self._unread(ast.Constant(path)), ("JSONDecodeError", str(problem))
        except RecursionError:
            value, error = self._unread(ast.Constant(path)), ("RecursionError", "…")
        self.loaded.append(Loaded(path, value, error, len(self.calls), line))
        return value


def read_with_files(
    text: str,
    file: str,
    environ: Mapping[str, str],
    files: Callable[[str], str],
    known: Mapping[str, Any] | None = None,
) -> tuple[Script, tuple[Loaded, ...]]:
    """Read a script, and the JSON files that it loads.

    files: the text of a file of the user's. known: arguments of the script's own command line.

    Raises:
        InputError: not Python, or nested too deep.
    """
    try:
        reader = FileReader(text, environ, files, known or {})
        reader.run(ast.parse(text).body)
    except SyntaxError as error:
        at = Source(file, error.lineno, error.offset)
        raise InputError([SYNTAX(f"not valid Python: {error.msg}", at=at)]) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise InputError([SYNTAX(f"cannot be parsed: {error}", at=Source(file))]) from None
    return Script(file, tuple(reader.calls), reader.names), tuple(reader.loaded)


__all__ = ["FileReader", "Loaded", "is_plain", "read_with_files"]
