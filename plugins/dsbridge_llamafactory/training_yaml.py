"""`train.yaml`: written anew in LLaMA-Factory's own order, or into the user's file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dsbridge.sdk import Diagnostic, YamlEdit, to_yaml
from dsbridge_llamafactory.fields import SECTIONS
from dsbridge_trainer.merge import into_base


def new_yaml(keys: Mapping[str, Any], header: str) -> str:
    """The file with its groups, as LLaMA-Factory's examples have them."""
    blocks = [f"### {name}\n{to_yaml(part)}" for name, part in _grouped(keys)]
    return f"# {header}\n\n" + "\n".join(blocks)


def _grouped(keys: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    named = {key for group in SECTIONS.values() for key in group}
    for name, group in SECTIONS.items():
        order = [key for key in group if key in keys]
        if name == "train":
            order += [key for key in keys if key not in named]
        if order:
            yield name, {key: keys[key] for key in order}


def edited(
    edit: YamlEdit, keys: Mapping[str, Any], header: str, without: tuple[str, ...]
) -> tuple[str, list[Diagnostic]]:
    """The user's file with the rendered keys in it; comments and order stay."""
    found = into_base(edit, keys, lambda key: edit.at((key,)), without)
    return edit.text(header), found
