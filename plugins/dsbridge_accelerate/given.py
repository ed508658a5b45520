"""What a parser is given: the YAML with the flags in it, the script's calls, the DeepSpeed config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from dsbridge.rulebook import Reading, Setup, Unknown

_ENV = "ACCELERATE_GRADIENT_ACCUMULATION_STEPS"


class Given(NamedTuple):
    """tree: the name of the YAML's tree. way: "deepspeed", "fsdp" or "plain". environ: as given."""

    tree: str
    top: Mapping[str, Any]
    trees: Mapping[str, Any]
    way: str
    environ: Mapping[str, str]
    versions: Mapping[str, str]

    def section(self, name: str) -> Mapping[str, Any]:
        """A section of the YAML."""
        return mapping(self.top.get(name))

    def key(self, *path: str) -> tuple[str, ...]:
        """A leaf of the YAML."""
        return (self.tree, *path)

    @property
    def ds(self) -> Mapping[str, Any] | None:
        """The DeepSpeed config, if there is one."""
        found = self.trees.get("ds")
        return found if isinstance(found, Mapping) else None

    @property
    def unseen(self) -> bool:
        """A DeepSpeed file is named that is not there: nobody knows what it says."""
        named = self.section("deepspeed_config").get("deepspeed_config_file") not in (None, "none")
        return self.way == "deepspeed" and self.ds is None and named

    @property
    def plugin(self) -> Mapping[str, Any]:
        """What the script gives to DeepSpeedPlugin."""
        return mapping(mapping(self.trees.get("plugin")).get("asked"))

    @property
    def accelerator(self) -> Mapping[str, Any]:
        """What the script gives to Accelerator."""
        return mapping(self.trees.get("accelerator"))

    @property
    def ranks(self) -> int | None:
        """num_processes, where it is a number."""
        return number(self.top.get("num_processes"))

    def steps(self) -> tuple[Any, tuple[tuple[str, ...], ...]]:
        """Micro-steps and the keys that say them, the strongest first: accelerator.py:547 of 1.15.0.

        Without DeepSpeed the YAML has no such key, and nobody reads one.
        """
        if self.way == "deepspeed" and "gradient_accumulation_steps" in self.plugin:
            return self.plugin["gradient_accumulation_steps"], (("plugin", "gradient_accumulation_steps"),)
        field = self.section("deepspeed_config").get("gradient_accumulation_steps")
        if self.way == "deepspeed" and field is not None:
            return field, (self.key("deepspeed_config", "gradient_accumulation_steps"),)
        text = self.environ.get(_ENV, "")
        if text.isascii() and text.isdigit():
            return int(text), (("env", _ENV),)
        own = self.accelerator.get("gradient_accumulation_steps")
        if own is None or isinstance(own, Unknown):
            return None, ()
        return own, (("accelerator", "gradient_accumulation_steps"),)


def mapping(value: Any) -> Mapping[str, Any]:
    """The value, if it is one; else an empty one."""
    return value if isinstance(value, Mapping) else {}


def number(value: Any) -> int | None:
    """A whole number from 1, or None."""
    plain = isinstance(value, int) and not isinstance(value, bool)
    return value if plain and value > 0 else None


def given_of(setup: Setup, reading: Reading) -> Given:
    """The parts of what was read."""
    trees = reading.trees
    tree = "asked" if "asked" in trees else "yaml"
    top = mapping(trees.get(tree))
    kind = mapping(trees.get("launch")).get("kind")
    way = kind if kind in ("deepspeed", "fsdp") else "plain"
    if "plugin" in trees or (way == "plain" and setup.environ.get("ACCELERATE_USE_DEEPSPEED") == "true"):
        way = "deepspeed"
    return Given(tree, top, trees, way, setup.given_environ, setup.versions)
