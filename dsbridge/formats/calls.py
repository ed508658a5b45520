"""What a script's calls hold: literals, other calls, names, and what only a run would give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from dsbridge.provenance import Source


class Unread(NamedTuple):
    """A value that only running the script would give; `code` is its text."""

    code: str
    line: int


class Name(NamedTuple):
    """Something imported or defined elsewhere, by its dotted name: `torch.optim.AdamW`."""

    name: str


class Attribute(NamedTuple):
    """An attribute of a call's result: `args.batch_size` after `args = parser.parse_args()`."""

    base: CallSite
    name: str


class CallSite(NamedTuple):
    """A call. Values are literals (tuples read as tuples), CallSite, Name, Attribute or Unread.

    function: dotted, as written, the first name replaced by what it was imported as
    (`from accelerate import Accelerator as A; A()` is `accelerate.Accelerator`); for a method of another
    call's result, `owner` is that call and `function` the method's name.
    more: it also passes *args or **kwargs that are not known. maybe: it may not happen (a branch, a loop).
    """

    number: int
    function: str
    args: tuple[Any, ...]
    keywords: Mapping[str, Any]
    line: int
    owner: Any = None
    more: bool = False
    maybe: bool = False
    places: Mapping[str | int, int] = {}

    @property
    def short(self) -> str:
        """The last word of the function's name."""
        return self.function.rpartition(".")[2]

    def argument(self, name: str, position: int | None = None, default: Any = None) -> Any:
        """The value given by keyword or position; `default` if neither."""
        if name in self.keywords:
            return self.keywords[name]
        if position is not None and position < len(self.args):
            return self.args[position]
        return default

    def place(self, file: str, name: str, position: int | None = None) -> Source:
        """Where the argument is written; the call itself if it is not given."""
        line = self.places.get(
            name, self.places.get(position, self.line) if position is not None else self.line
        )
        return Source(file, line)


class Merging(dict[Any, Any]):
    """A dict whose update() goes into the dicts below it, as mmengine's ConfigDict does."""

    def update(self, *args: Any, **keywords: Any) -> None:
        """Merge."""
        for name, value in dict(*args, **keywords).items():
            old = self.get(name)
            if isinstance(old, Merging) and isinstance(value, dict):
                old.update(value)
            else:
                self[name] = merging(value)


def merging(value: Any) -> Any:
    """The value with every dict in it a Merging one."""
    if isinstance(value, dict):
        return Merging({name: merging(item) for name, item in value.items()})
    return [merging(item) for item in value] if isinstance(value, list) else value


class Script(NamedTuple):
    """The calls in the order they happen, and the module's variables at the end."""

    file: str
    calls: tuple[CallSite, ...]
    names: Mapping[str, Any]

    def named(self, *shorts: str) -> list[CallSite]:
        """The calls whose last word is one of these."""
        return [call for call in self.calls if call.short in shorts]


def is_plain(value: Any) -> bool:
    """A literal all through, with nothing in it that only a run would give."""
    if isinstance(value, Unread | CallSite | Name | Attribute):
        return False
    if isinstance(value, dict):
        return all(is_plain(item) for item in value.values())
    return all(is_plain(item) for item in value) if isinstance(value, list | tuple) else True
