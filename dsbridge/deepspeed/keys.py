"""What one DeepSpeed release makes of each key of a config: what it refuses, and what it never reads.

Everything comes from the harvested tables (known.py, blocks.py). That a config is judged as the real
package treats it is shown by tests/deepspeed/test_ds_configs.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from dsbridge.deepspeed.blocks import Blocks
from dsbridge.deepspeed.guessing import guess
from dsbridge.deepspeed.key_values import drops_auto, judge_value, kind_of_text
from dsbridge.deepspeed.known import ANY, Block, Key, known_keys
from dsbridge.values import UNSET

Path = tuple[str, ...]
_SAMPLING = "data_efficiency.data_sampling"
# Blocks that are kept whole, and whose keys are asked for one by one later (tools/scan_keys.py): a slip is
# lost in silence. What is handed on as arguments (`amp`, optimizers) may take more than we know.
ASKED_LATER = frozenset(
    (
        "pipeline",
        "progressive_layer_drop",
        "curriculum_learning",
        _SAMPLING,
        f"{_SAMPLING}.curriculum_learning",
        "data_efficiency.data_routing.random_ltd",
    )
)


class KeyFinding(NamedTuple):
    """One key that the release does not take as it stands.

    path: in the config. kind: unknown, misspelt, misplaced, removed, deprecated, quoted, wrong-type,
        auto-dropped, or comment (where the release stops at one).
    refused: the release stops at it; otherwise it is ignored, or read as something else, in silence.
    instead: the dotted key or the value to write instead; "" if nobody knows.
    becomes: what DeepSpeed uses in its place; UNSET if nothing.
    says: DeepSpeed's own words about a removed or deprecated key.
    """

    path: Path
    kind: str
    refused: bool
    instead: str = ""
    becomes: Any = UNSET
    says: str = ""


def is_comment(name: str) -> bool:
    """People write comments into JSON as keys, and editors name a schema."""
    return name.startswith(("_", "//", "#")) or name in ("comment", "comments", "$schema", "$comment")


def judge(config: Mapping[str, Any], version: str) -> tuple[KeyFinding, ...]:
    """Every key that this release refuses, ignores or reads as something else, in the config's order."""
    found = _judge_of(version)
    return tuple(found.block(config, found.blocks[""], ()))


@cache
def _judge_of(version: str) -> _Judge:
    """One for all configs of a release."""
    return _Judge(version, known_keys(version))


class _Judge:
    """The tables of one release."""

    def __init__(self, version: str, blocks: Mapping[str, Block]) -> None:
        self.version, self.blocks, self.classes = version, blocks, Blocks(version)
        self.names: dict[str, str] = {}

    def block(
        self, given: Mapping[str, Any], block: Block, at: Path, wrong: frozenset[Path] = frozenset()
    ) -> Iterator[KeyFinding]:
        """wrong: the paths that the class of a block above refuses."""
        if block.named_by_user:
            yield from self.entries(given, block, at)
            return
        for name, value in given.items():
            if not isinstance(name, str):
                continue
            path = (*at, name)
            if name in block.keys:
                yield from self.known(value, block.keys[name], block, path, wrong)
            elif name in block.removed:
                yield KeyFinding(path, "removed", True, says=block.removed[name])
            else:
                yield from self.unknown(value, block, path)

    def entries(self, given: Mapping[str, Any], block: Block, at: Path) -> Iterator[KeyFinding]:
        """A block whose entries the user names."""
        inner = self.blocks.get(f"{block.path}.{ANY}")
        for name, value in given.items():
            if inner is not None and isinstance(name, str) and isinstance(value, Mapping):
                yield from self.block(value, inner, (*at, name))

    def unknown(self, value: Any, block: Block, path: Path) -> Iterator[KeyFinding]:
        """A key that the block does not have."""
        refused = block.unknown == "refused" and not drops_auto(value, path[-1])
        if is_comment(path[-1]):
            if refused:
                yield KeyFinding(path, "comment", True)
        elif block.unknown != "kept" or block.path in ASKED_LATER:
            kind, instead = guess(path[-1], block.path, self.version)
            if block.unknown != "kept" or kind == "misspelt":  # another's key may be kept for its own script
                yield KeyFinding(path, kind, refused, instead)

    def known(
        self, value: Any, key: Key, block: Block, path: Path, wrong: frozenset[Path]
    ) -> Iterator[KeyFinding]:
        """A key that the block has: its name is right, its value may not be."""
        if key.deprecated:
            words = key.deprecated_message or ""
            yield KeyFinding(path, "deprecated", False, _beside(block, key.replacement or ""), says=words)
        inner = self.blocks.get(key.block) if key.block else None
        if inner is not None and isinstance(value, Mapping):
            if not block.class_name and inner.class_name:
                wrong = self.refused(value, inner, path)
            yield from self.block(value, inner, path, wrong)
            return
        if path == ("zero_optimization",) and isinstance(value, bool):  # runtime/zero/config.py:51
            yield KeyFinding(path, "deprecated", False, "zero_optimization.stage", {"stage": int(value)})
            return
        said = judge_value(value, key, of_class=bool(block.class_name), wrong=path in wrong)
        if said is None:
            return
        kind, refused = said
        becomes = UNSET
        if block.class_name and not refused:
            becomes = self.made(value, block, path[-1])
        yield KeyFinding(path, kind, refused, kind_of_text(value), becomes)

    def name_of(self, block: Block) -> str:
        """The name that the table of classes has for a block."""
        if not self.names:
            classes = {name: self.classes.read(name).get("class") for name in self.classes.known["blocks"]}
            self.names = {kind: name for name, kind in reversed(classes.items()) if kind}
        return self.names.get(block.class_name or "", "")

    def refused(self, value: Mapping[str, Any], block: Block, at: Path) -> frozenset[Path]:
        """The paths at which the block's class finds fault, as far as the config has them."""
        name = self.name_of(block)
        problem = self.classes.problem(name, dict(value)) if name else None
        found = set()
        for field in problem.fields if problem else ():
            path, node = at, value
            for part in field.removeprefix(name).strip(".").split("."):
                if not isinstance(node, Mapping) or part not in node:
                    break
                path, node = (*path, part), node[part]
            found.add(path)
        return frozenset(found)

    def made(self, value: Any, block: Block, name: str) -> Any:
        """What the class of a block makes of one value: of a quoted one, and of an "auto"."""
        values = self.classes.values(self.name_of(block), {name: value}) or {}
        fields = (name, block.keys[name].other_name)
        return next((values[field] for field in fields if field in values), UNSET)


def _beside(block: Block, name: str) -> str:
    """The replacement, by the name that configs have for it; as it stands where it is no key of the block."""
    key = block.keys.get(name)
    if key is None:
        return name
    named = next(n for n in block.keys if n in (name, key.other_name))  # the alias comes first
    return f"{block.path}.{named}" if block.path else named
