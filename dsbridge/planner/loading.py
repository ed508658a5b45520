"""A model shape from what people have: a config.json, a checkpoint folder, a name, or the keys themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsbridge.planner.building import from_config
from dsbridge.planner.catalogue import find, near
from dsbridge.planner.errors import ShapeError
from dsbridge.planner.shape import ModelShape


def model_shape(model: str | Path | Mapping[str, Any], transformers: str | None = None) -> ModelShape:
    """The shape of a model: sizes in elements, counts in parameters.

    `model` is a config.json (its path or its keys), the folder of a checkpoint, or a name such as
    `Qwen/Qwen2.5-7B-Instruct`. `transformers` is the release that will load it; the newest we know if
    not given.
    What cannot be counted raises `ShapeError`, which says what would do.
    """
    name, keys = model_config(model)
    return from_config(keys, name, transformers)


def model_config(model: str | Path | Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The name and the keys of a config.json, for what `model_shape` takes; "" if nothing names it.

    Raises:
        ShapeError: it is not there.
    """
    if isinstance(model, Mapping):
        return "", model
    path = Path(model)
    if path.is_dir():
        path = path / "config.json"
        if not path.is_file():
            held = sorted(p.name for p in path.parent.iterdir())[:5]
            shown = f"it has {', '.join(held)}" if held else "it is empty"
            raise ShapeError(
                f"no config.json in {path.parent} ({shown})", "give the folder of a whole checkpoint"
            )
    if path.is_file():
        return _named(path), _read(path)
    return _from_catalogue(str(model))


def _named(path: Path) -> str:
    return path.resolve().parent.name if path.name == "config.json" else path.stem


def _read(path: Path) -> Mapping[str, Any]:
    hint = "give the config.json that lies beside a model's weights"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ShapeError(f"{path} is not JSON: {error}", hint) from error
    if not isinstance(found, Mapping):
        raise ShapeError(f"{path} is {type(found).__name__}, not a mapping of keys", hint)
    return found


def _from_catalogue(name: str) -> tuple[str, Mapping[str, Any]]:
    found = find(name)
    if found is None:
        close = near(name)
        hint = f"did you mean {', '.join(close)}? Or give" if close else "give"
        raise ShapeError(
            f"{name!r} is neither a file, nor a folder, nor a model of the catalogue",
            f"{hint} the path of its config.json (docs/reference/models.md lists the catalogue)",
        )
    full, entry = found
    return full, entry.config
