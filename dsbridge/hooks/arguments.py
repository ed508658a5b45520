"""TrainingArguments from a spec."""

from __future__ import annotations

import json
import os
from importlib import import_module
from typing import Any

from dsbridge.hooks.building import Spec, loaded_from, merged, rendered, with_ranks


def training_arguments(spec: Spec, *, cls: type[Any] | None = None, **kw: Any) -> Any:
    """`TrainingArguments` as the spec says, the DeepSpeed config in them as a dict; keywords win.

    They are those of `dsbridge render --target trainer`. cls: another class of arguments; else the one of TRL
    that `frameworks.trainer.class` names, else TrainingArguments. With ZeRO-3 make them before the model.
    What the rendered launch would export is set in this process's environment where nothing else is.

    Raises:
        InputError: the spec cannot be read, or the Trainer cannot train it.
    """
    loaded = with_ranks(loaded_from(spec))
    made = rendered(loaded, "trainer")
    ours = json.loads(made.files["training_args.json"])
    if isinstance(ours.get("deepspeed"), str):
        ours["deepspeed"] = json.loads(made.files[ours["deepspeed"]])
    for name, value in made.launch.env.items():
        os.environ.setdefault(name, value)
    kind = cls or _class(loaded.spec.frameworks)
    return kind(**merged(loaded.document.file, ours, kw))


def _class(frameworks: Any) -> type[Any]:
    own = frameworks.get("trainer") if isinstance(frameworks, dict) else None
    name = own.get("class") if isinstance(own, dict) else None
    home = import_module("trl" if name else "transformers")
    found: type[Any] = getattr(home, name or "TrainingArguments")
    return found
