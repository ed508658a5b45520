"""How a spec field is declared: once, with everything its readers need.

The parts of a spec are frozen values like dataclasses, but made without code generation: every command
builds them at its start, and `@dataclass` on twenty parts costs more than all the rest of `render`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from dsbridge.spec.kinds import Kind
from dsbridge.values import UNSET

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: bool) -> Any:
        """Only type checkers need it."""
        return lambda of: of


class Meaning(NamedTuple):
    """The docstring of a field, as data, so that schema, docs and error messages can print it.

    doc: what it means, with the unit. deepspeed: DeepSpeed's own name ("" where it has none).
    source: where the name and the meaning come from.
    """

    kind: Kind
    doc: str
    deepspeed: str = ""
    source: str = ""


class Section(NamedTuple):
    """A field that groups others."""

    of: type[Part]
    doc: str


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Part:
    """A frozen group of fields, made with keywords; equal if all fields are."""

    # filled for each subclass, then constant: by the user's key, and by attribute what nobody gave
    __declared__: dict[str, Meaning | Section] = {}  # noqa: RUF012
    __empty__: dict[str, Any] = {}  # noqa: RUF012

    def __init_subclass__(cls) -> None:
        own = {n: found for n, found in vars(cls).items() if isinstance(found, Meaning | Section)}
        cls.__declared__ = {name.rstrip("_"): declared for name, declared in own.items()}
        # a group that nobody filled is one and the same everywhere: it is frozen
        cls.__empty__ = {n: found.of() if isinstance(found, Section) else UNSET for n, found in own.items()}

    def __init__(self, **values: Any) -> None:
        unknown = values.keys() - self.__empty__.keys()
        if unknown:
            raise TypeError(f"{type(self).__name__} has no field {', '.join(sorted(unknown))}")
        self.__dict__.update(self.__empty__)
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a spec is frozen: {type(self).__name__}.{name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a spec is frozen: {type(self).__name__}.{name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other) if type(other) is type(self) else NotImplemented

    __hash__ = None  # type: ignore[assignment] # native keys are mappings, which have no hash

    def __repr__(self) -> str:
        said = (f"{name}={value!r}" for name, value in vars(self).items() if value is not UNSET)
        return f"{type(self).__name__}({', '.join(said)})"


P = TypeVar("P", bound=Part)


def changed(part: P, **values: Any) -> P:
    """A copy of a part with other values; the original stays as it is."""
    return type(part)(**{**vars(part), **values})


def setting(kind: Kind, doc: str, deepspeed: str = "", source: str = "") -> Any:
    """Declare one spec field; UNSET unless given."""
    return Meaning(kind, doc, deepspeed, source)


def section(of: type[Part], doc: str) -> Any:
    """Declare one group of fields; an empty group unless given."""
    return Section(of, doc)


def declared_fields(of: type[Part]) -> dict[str, Meaning | Section]:
    """The fields of a spec part by the key the user writes (`global_` is `global` in a file)."""
    return of.__declared__


def attribute(key: str) -> str:
    """The Python name of a key: `global` is a keyword there."""
    return "global_" if key == "global" else key
