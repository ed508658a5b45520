"""A model's config.json as transformers reads it: second names of keys, and what absent keys are taken for.

`defaults.json` holds both, by release; tools/harvest_shapes.py writes it from the real config classes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from dsbridge.planner.errors import ShapeError
from dsbridge.rules import numbers

_ALSO = "also "
# parts beside the text model, which this planner does not count
OTHER_PARTS = ("vision_config", "audio_config", "vision_tower_config", "speech_config", "talker_config")
_TEXT = ("text_config", "thinker_config", "llm_config", "language_config")
# what must be said: with a size of somebody else's default a plan would be about another model
_SIZES = (
    ("hidden_size", ("hidden_size", "n_embd", "d_model")),
    ("num_hidden_layers", ("num_hidden_layers", "n_layer", "n_layers", "num_layers")),
)


class Config(NamedTuple):
    """A text model's config with every default filled in."""

    model_type: str
    keys: Mapping[str, Any]
    assumed: tuple[str, ...]
    omitted: tuple[str, ...]


@cache
def _table() -> Mapping[str, Any]:
    found = json.loads(Path(__file__).with_name("defaults.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def releases() -> tuple[str, ...]:
    """The releases of transformers that the table was harvested from, oldest first."""
    return tuple(_table()["stamp"]["transformers"])


def text_part(config: Mapping[str, Any]) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """The text model of a config, and the names of the parts that are left out (vision, audio)."""
    omitted = tuple(key for key in OTHER_PARTS if isinstance(config.get(key), Mapping))
    for key in _TEXT:
        inner = config.get(key)
        if isinstance(inner, Mapping) and inner:
            # whether the head is tied is said outside in some files, inside in others
            tied = {k: config[k] for k in ("tie_word_embeddings",) if k in config and k not in inner}
            text, more = text_part({**tied, **inner})
            return text, omitted + more
    return config, omitted


def complete(config: Mapping[str, Any], model_type: str, release: str) -> Config:
    """Fill in what the config class of a release fills in, and note which sizes were not given."""
    text, omitted = text_part(config)
    _require(text, model_type)
    defaults = {k: _at(v, release) for k, v in _table()["defaults"].get(model_type, {}).items()}
    keys = dict(text)
    for also, own in defaults.items():
        if also.startswith(_ALSO) and own:
            for here, there in ((also.removeprefix(_ALSO), own), (own, also.removeprefix(_ALSO))):
                if here in text and there not in text:
                    keys[there] = text[here]
    filled = {k: v for k, v in defaults.items() if not k.startswith(_ALSO) and k not in keys}
    assumed = tuple(f"{k} = {v}" for k, v in filled.items() if _is_size(v))
    return Config(model_type, {**keys, **filled}, assumed, omitted)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 1


def _at(row: Any, release: str) -> Any:
    if not isinstance(row, list):
        return row
    value = None
    for since, here in row:
        if not since or numbers(since) <= numbers(release):
            value = here
    return value


def _require(text: Mapping[str, Any], model_type: str) -> None:
    missing = [name for name, ways in _SIZES if not any(way in text for way in ways)]
    if missing:
        raise ShapeError(
            f"the config of this {model_type} model does not say {' and '.join(missing)}",
            "give the model's whole config.json (the one beside its weights), "
            "or the name of a model in the catalogue",
        )
