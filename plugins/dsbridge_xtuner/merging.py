"""`--cfg-options` into a config's tree, as mmengine 0.10.6 config/config.py:1289 does it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsbridge.rulebook import Unknown, copied

_KINDS = {"int": "int", "float": "float", "bool": "bool", "str": "str", "NoneType": "NoneType"}


class Refused(Exception):
    """mmengine cannot merge an option."""

    def __init__(self, kind: str, message: str, path: str) -> None:
        super().__init__(message)
        self.kind, self.message, self.path = kind, message, path


def nested(options: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as a tree; {"a.b": 1} is {"a": {"b": 1}}."""
    tree: dict[str, Any] = {}
    for path, value in options.items():
        *parents, last = path.split(".")
        node: Any = tree
        for part in parents:
            inner = node.setdefault(part, {})
            if not isinstance(inner, dict):
                kind = type(inner).__name__
                message = f"'{kind}' object does not support item assignment"
                raise Refused("TypeError", message, path)
            node = inner
        node[last] = value
    return tree


def merge(options: Mapping[str, Any], config: Any, path: str = "cfg") -> Any:
    """The config with the options in it.

    Raises:
        Refused: an index beyond a list, or a key below something that has none.
    """
    result: Any = list(config) if isinstance(config, list) else dict(config)
    for key, value in options.items():
        here = f"{path}.{key}"
        if isinstance(result, list):
            if not key.isdigit() or int(key) >= len(result):
                raise Refused("KeyError", f"'Index {key} exceeds the length of list …", here)
            index = int(key)
            value = merge(value, result[index], here) if isinstance(value, dict) else value
            result[index] = value
        elif isinstance(value, dict):
            result[key] = _below(key, dict(value), result, here)
        else:
            result[key] = value
    return result


def _below(key: str, value: dict[str, Any], config: Mapping[str, Any], path: str) -> Any:
    """A mapping of options meets what the config has there."""
    if key not in config or value.pop("_delete_", False):
        return copied(value)
    old = config[key]
    if isinstance(old, Unknown):
        return old
    if isinstance(old, list) or (isinstance(old, dict) and "class" not in old):
        return merge(value, old, path)
    kind = type(old).__name__
    message = (
        f"{key}={value} in child config cannot inherit from base because {key} is a dict in the child "
        f"config but is of type <class '{_KINDS.get(kind, '…')}'> in base config. You may set "
        "`_delete_=True` to ignore the base config."
    )
    raise Refused("TypeError", message, path)
