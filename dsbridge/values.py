"""Three ways not to have a number: UNSET, AUTO and Unknown. None stands for none of them."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias, TypeVar


class Unset:
    """The user said nothing about it. Stays so until a framework or DeepSpeed decides."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> Literal[False]:
        return False

    def __reduce__(self) -> str:
        return "UNSET"  # copying and pickling keep the one object, so `is UNSET` stays true


class Auto:
    """The user wrote "auto": whoever resolves the field last is to choose."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "AUTO"

    def __reduce__(self) -> str:
        return "AUTO"


class Unknown(NamedTuple):
    """Only a run can tell. `needs` names the facts that would settle it, e.g. {"world_size"}."""

    needs: frozenset[str]

    def __str__(self) -> str:
        return f"unknown (needs {', '.join(sorted(self.needs))})"


UNSET: Final = Unset()
AUTO: Final = Auto()

T = TypeVar("T")
Setting: TypeAlias = T | Auto | Unset  # a value that may be left to a framework
Option: TypeAlias = T | Unset  # a value that "auto" makes no sense for


def is_set(value: object) -> bool:
    """True for a value or AUTO: the user has said something."""
    return value is not UNSET
