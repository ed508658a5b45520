"""What a pickle says, read opcode by opcode: no class is looked up, nothing is called, no object is built.

What a pickle would call stays a `Made`: the name, the arguments, and what is put into it. Bytes and
opcodes are bounded, and so are keys: only texts and small numbers, because others can be chosen so that a
dict takes forever.
"""

from __future__ import annotations

import io
import pickletools
import warnings
from collections.abc import Callable, Iterator
from typing import IO, Any, cast

MAX_BYTES = 48 * 1024 * 1024
MAX_OPCODES = 2_000_000
_TEXT = 300  # a number in letters that is longer would take long to read


class Unreadable(Exception):
    """The pickle cannot be read this way; the text says why."""


class Name:
    """A class or function that the pickle names."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class Stored:
    """A tensor's storage, by what torch writes of it: ("storage", type, key, device, elements)."""

    __slots__ = ("said",)

    def __init__(self, said: Any) -> None:
        self.said = said


class Made:
    """What the pickle would build: name, arguments, state, and the items put into it."""

    __slots__ = ("args", "items", "name", "state")

    def __init__(self, name: Any, args: Any) -> None:
        self.name = name.text if isinstance(name, Name) else ""
        self.args = args if isinstance(args, tuple) else ()
        self.items: dict[Any, Any] = {}
        self.state: Any = None


class _Machine:
    """The stack and the memo."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def pop(self) -> Any:
        if not self.stack:
            raise Unreadable("it takes more from the stack than there is")
        return self.stack.pop()

    def top(self) -> Any:
        if not self.stack:
            raise Unreadable("its stack is empty")
        return self.stack[-1]

    def marked(self) -> list[Any]:
        """What was put on the stack since the last mark."""
        if not self.marks:
            raise Unreadable("a mark is missing")
        items, self.stack = self.stack, self.marks.pop()
        return items


def read(data: bytes) -> Any:
    """The value of a pickle.

    Raises:
        Unreadable: broken, or larger than is read.
    """
    for value in streams(data):
        return value
    raise Unreadable("it is empty")


def streams(data: bytes) -> Iterator[Any]:
    """The values of pickles that stand behind each other, as torch wrote them before 1.6."""
    if len(data) > MAX_BYTES:
        raise Unreadable(f"it has more than {MAX_BYTES:,} bytes")
    source, left = io.BytesIO(data), MAX_OPCODES
    while source.tell() < len(data):
        value, left = _one(source, left)
        yield value


def _one(source: io.BytesIO, left: int) -> tuple[Any, int]:
    machine = _Machine()
    try:
        with warnings.catch_warnings():
            # a damaged text may have escapes that Python warns of, and nobody could do anything about it
            warnings.simplefilter("ignore", DeprecationWarning)
            for opcode, arg, _ in pickletools.genops(cast("IO[bytes]", _Bounded(source))):
                left -= 1
                if left < 0:
                    raise Unreadable(f"it has more than {MAX_OPCODES:,} opcodes")
                if opcode.name == "STOP":
                    return machine.pop(), left
                _apply(machine, opcode.name, arg)
    except Unreadable:
        raise
    except (ValueError, OverflowError, IndexError, TypeError, KeyError) as error:
        raise Unreadable(str(error)[:200] or type(error).__name__) from None
    raise Unreadable("it does not end")


class _Bounded:
    """A stream whose lines have an end: a number of a million digits would take minutes."""

    def __init__(self, source: io.BytesIO) -> None:
        self.source, self.read, self.tell = source, source.read, source.tell

    def readline(self) -> bytes:
        line = self.source.readline(_TEXT + 1)
        if len(line) > _TEXT:
            raise Unreadable("it has a line without end")
        return line


Act = Callable[[_Machine, Any], object]


def _apply(machine: _Machine, name: str, arg: Any) -> None:
    act = _ACTS.get(name)
    if act is not None:
        act(machine, arg)
    elif name in _CONSTANTS:
        machine.stack.append(_CONSTANTS[name])
    elif name in _VALUES:
        machine.stack.append(arg)
    elif name not in _NOTHING:
        raise Unreadable(f"it uses {name}, which torch does not write")


def _key(value: Any) -> Any:
    """A key that can be kept; None for another."""
    if isinstance(value, str) or (isinstance(value, int) and abs(value) < 1 << 31):
        return value
    return None


def _put(target: Any, items: list[Any]) -> None:
    """Keys and values in turn, into a dict or what stands for one."""
    into = target.items if isinstance(target, Made) else target
    if not isinstance(into, dict):
        raise Unreadable("items are put into what takes none")
    for at in range(0, len(items) - 1, 2):
        if (key := _key(items[at])) is not None:
            into[key] = items[at + 1]


def _append(machine: _Machine, items: list[Any]) -> None:
    target = machine.top()
    if isinstance(target, list):
        target.extend(items)
    elif not isinstance(target, Made):
        raise Unreadable("values are put into what takes none")


def _mark(machine: _Machine, _: Any) -> None:
    machine.marks.append(machine.stack)
    machine.stack = []


def _memoize(machine: _Machine, arg: Any) -> None:
    machine.memo[len(machine.memo) if arg is None else int(arg)] = machine.top()


def _get(machine: _Machine, arg: Any) -> None:
    if int(arg) not in machine.memo:
        raise Unreadable("it uses what it has not kept")
    machine.stack.append(machine.memo[int(arg)])


def _tuple_of(count: int) -> Act:
    def act(machine: _Machine, _: Any) -> None:
        items = [machine.pop() for _ in range(count)]
        machine.stack.append(tuple(reversed(items)))

    return act


def _global(machine: _Machine, arg: Any) -> None:
    if arg is None:
        name, module = machine.pop(), machine.pop()
        machine.stack.append(Name(f"{module}.{name}" if isinstance(name, str) else ""))
    else:
        machine.stack.append(Name(str(arg).replace(" ", ".")))


def _reduce(machine: _Machine, _: Any) -> None:
    args, name = machine.pop(), machine.pop()
    machine.stack.append(Made(name, args))


def _new_with_names(machine: _Machine, _: Any) -> None:
    machine.pop()
    _reduce(machine, None)


def _build(machine: _Machine, _: Any) -> None:
    state, target = machine.pop(), machine.top()
    if isinstance(target, Made):
        target.state = state


def _push(make: Callable[[_Machine], Any]) -> Act:
    def act(machine: _Machine, _: Any) -> None:
        value = make(machine)  # which may put another stack in place
        machine.stack.append(value)

    return act


def _dict(machine: _Machine) -> dict[Any, Any]:
    items, made = machine.marked(), dict[Any, Any]()
    _put(made, items)
    return made


def _set_item(machine: _Machine, _: Any) -> None:
    value, key = machine.pop(), machine.pop()
    _put(machine.top(), [key, value])


def _set_items(machine: _Machine, _: Any) -> None:
    items = machine.marked()
    _put(machine.top(), items)


def _object(machine: _Machine, _: Any) -> None:
    items = machine.marked()
    machine.stack.append(Made(items[0] if items else "", tuple(items[1:])))


_ACTS: dict[str, Act] = {
    "MARK": _mark,
    "POP": lambda machine, _: machine.pop() if machine.stack else machine.marked(),
    "POP_MARK": lambda machine, _: machine.marked() and None,
    "DUP": _push(lambda machine: machine.top()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _memoize),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _get),
    "EMPTY_DICT": _push(lambda _: {}),
    **dict.fromkeys(("EMPTY_LIST", "EMPTY_SET"), _push(lambda _: [])),
    "EMPTY_TUPLE": _push(lambda _: ()),
    "TUPLE": _push(lambda machine: tuple(machine.marked())),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    **dict.fromkeys(("LIST", "FROZENSET"), _push(lambda machine: machine.marked())),
    "DICT": _push(_dict),
    "APPEND": lambda machine, _: _append(machine, [machine.pop()]),
    **dict.fromkeys(("APPENDS", "ADDITEMS"), lambda machine, _: _append(machine, machine.marked())),
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    **dict.fromkeys(("GLOBAL", "STACK_GLOBAL"), _global),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), _reduce),
    "NEWOBJ_EX": _new_with_names,
    **dict.fromkeys(("OBJ", "INST"), _object),
    "BUILD": _build,
    "BINPERSID": _push(lambda machine: Stored(machine.pop())),
    "PERSID": lambda machine, arg: machine.stack.append(Stored(arg)),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = frozenset(
    [
        "INT",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG",
        "LONG1",
        "LONG4",
        "FLOAT",
        "BINFLOAT",
        "STRING",
        "BINSTRING",
        "SHORT_BINSTRING",
        "BINBYTES",
        "SHORT_BINBYTES",
        "BINBYTES8",
        "BYTEARRAY8",
        "UNICODE",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
    ]
)
_NOTHING = frozenset(("PROTO", "FRAME", "STOP"))
