"""What a spec field may hold: each kind reads one plain value and describes itself as JSON Schema."""

from __future__ import annotations

import math
import re
from typing import Any

from dsbridge.values import AUTO

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Mismatch(ValueError):
    """The value is not of the kind; the text says what would be, e.g. "a whole number, at least 1"."""


class Kind:
    """A kind of value. `auto` says whether "auto" is a value too."""

    def __init__(self, *, auto: bool = True) -> None:
        self.auto = auto

    def read(self, value: Any) -> Any:
        """The value as the spec holds it.

        Raises:
            Mismatch: with a text that says what is wanted.
        """
        if self.auto and isinstance(value, str) and value.lower() == "auto":
            return AUTO
        return self._read(value)

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema of the values accepted, "auto" included."""
        own = self._json_schema()
        return {"anyOf": [own, {"const": "auto"}]} if self.auto else own

    def wanted(self) -> str:
        """What a user is to write, as "a whole number, at least 1"."""
        raise NotImplementedError

    def _read(self, value: Any) -> Any:
        raise NotImplementedError

    def _json_schema(self) -> dict[str, Any]:
        raise NotImplementedError


class Integer(Kind):
    """A whole number; `5e8` counts as one."""

    def __init__(self, *, auto: bool = True, least: int | None = None, most: int | None = None) -> None:
        super().__init__(auto=auto)
        self.least = least
        self.most = most

    def _read(self, value: Any) -> int:
        if isinstance(value, float) and math.isfinite(value) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise Mismatch(self.wanted() + _unquote(value))
        low = self.least is not None and value < self.least
        if low or (self.most is not None and value > self.most):
            raise Mismatch(self.wanted())
        return value

    def wanted(self) -> str:
        least = f", at least {self.least}" if self.least is not None else ""
        return f"a whole number{least}" + (f", at most {self.most}" if self.most is not None else "")

    def _json_schema(self) -> dict[str, Any]:
        bounds = {"minimum": self.least, "maximum": self.most}
        return {"type": "integer"} | {word: bound for word, bound in bounds.items() if bound is not None}


class Number(Kind):
    """A finite number."""

    def __init__(self, *, auto: bool = True, least: float | None = None, most: float | None = None) -> None:
        super().__init__(auto=auto)
        self.least = least
        self.most = most

    def _read(self, value: Any) -> float | int:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise Mismatch(self.wanted() + _unquote(value))
        low = self.least is not None and value < self.least
        if low or (self.most is not None and value > self.most):
            raise Mismatch(self.wanted())
        return value

    def wanted(self) -> str:
        least = f", at least {self.least:g}" if self.least is not None else ""
        most = f", at most {self.most:g}" if self.most is not None else ""
        return f"a number{least}{most}"

    def _json_schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "number"}
        if self.least is not None:
            schema["minimum"] = self.least
        if self.most is not None:
            schema["maximum"] = self.most
        return schema


class Boolean(Kind):
    """true or false."""

    def _read(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise Mismatch(self.wanted())
        return value

    def wanted(self) -> str:
        return "true or false"

    def _json_schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


class Text(Kind):
    """Non-empty text."""

    def _read(self, value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            raise Mismatch(self.wanted())
        if any(ord(c) < 32 for c in value):
            raise Mismatch("text without control characters or line breaks")
        return value

    def wanted(self) -> str:
        return "text"

    def _json_schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1}


class Choice(Kind):
    """One of a few words or numbers."""

    def __init__(self, *, options: tuple[str | int, ...], auto: bool = True) -> None:
        super().__init__(auto=auto)
        self.options = options

    def _read(self, value: Any) -> str | int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        for option in self.options:
            if type(option) is type(value) and option == value:
                return option
        raise Mismatch(self.wanted() + _unquote(value))

    def wanted(self) -> str:
        return f"one of {', '.join(str(o) for o in self.options)}"

    def _json_schema(self) -> dict[str, Any]:
        return {"enum": list(self.options)}


class ListOf(Kind):
    """A list of one kind, of any length or of exactly `length`.

    `words` are accepted in place of the list, as "all" is for LoRA's target modules.
    """

    def __init__(
        self,
        *,
        auto: bool = True,
        item: Kind | None = None,
        length: int | None = None,
        words: tuple[str, ...] = (),
    ) -> None:
        super().__init__(auto=auto)
        self.item = item or Text(auto=False)
        self.length = length
        self.words = words

    def _read(self, value: Any) -> tuple[Any, ...] | str:
        if isinstance(value, str) and value in self.words:
            return value
        if not isinstance(value, list | tuple) or not value:
            raise Mismatch(self.wanted())
        if self.length is not None and len(value) != self.length:
            raise Mismatch(self.wanted())
        try:
            return tuple(self.item.read(v) for v in value)
        except Mismatch as mismatch:
            raise Mismatch(f"{self.wanted()}, each of them {mismatch}") from None

    def wanted(self) -> str:
        many = f"of {self.length} values" if self.length else "of one value or more"
        words = "".join(f", or `{w}`" for w in self.words)
        return f"a list {many}, as [a, b]{words}"

    def _json_schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "array", "items": self.item.json_schema(), "minItems": 1}
        if self.length is not None:
            schema |= {"minItems": self.length, "maxItems": self.length}
        return {"anyOf": [schema, {"enum": list(self.words)}]} if self.words else schema


class Mapping_(Kind):
    """A mapping kept as it is: native keys that dsbridge passes through."""

    def __init__(self, *, of_mappings: bool = False) -> None:
        super().__init__(auto=False)
        self.of_mappings = of_mappings  # every value must be a mapping too

    def _read(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Mismatch(self.wanted())
        if self.of_mappings and not all(isinstance(v, dict) for v in value.values()):
            raise Mismatch(self.wanted())
        if not _finite(value):
            raise Mismatch("finite numbers, since JSON has no others")
        return value

    def wanted(self) -> str:
        if self.of_mappings:
            return "a mapping behind each name, as `llamafactory: {template: qwen}`"
        return "a mapping of keys to values"

    def _json_schema(self) -> dict[str, Any]:
        if self.of_mappings:
            return {"type": "object", "additionalProperties": {"type": "object"}}
        return {"type": "object"}


class Variables(Mapping_):
    """Environment variables: names to text or numbers, held as text. A value may have several lines."""

    def _read(self, value: Any) -> dict[str, str]:
        if not isinstance(value, dict):
            raise Mismatch(self.wanted())
        wrong = [name for name in value if not isinstance(name, str) or not VARIABLE.fullmatch(name)]
        if wrong:
            raise Mismatch(f"names of environment variables; `{wrong[0]}` is none")
        for name, one in value.items():
            if isinstance(one, bool) or not isinstance(one, str | int | float):
                raise Mismatch(f"text or a number behind `{name}`; for a switch write 1 or 0")
            if "\0" in str(one):
                raise Mismatch(f"text without a NUL character behind `{name}`")
        return {name: str(one) for name, one in value.items()}

    def wanted(self) -> str:
        return "a mapping of names to text, as {NAME: value}"

    def _json_schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "propertyNames": {"pattern": f"^{VARIABLE.pattern}$"},
            "additionalProperties": {"type": ["string", "number"]},
        }


def _finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_finite(v) for v in value.values())
    if isinstance(value, list):
        return all(_finite(v) for v in value)
    return not isinstance(value, float) or math.isfinite(value)


def _unquote(value: Any) -> str:
    """A hint for `"5"`: numbers in quotes are text."""
    if isinstance(value, str) and value.strip().lstrip("+-")[:1].isdigit():
        return ", written without quotes or a unit"
    return ""
