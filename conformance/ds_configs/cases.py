"""The cases: designed configs, seeded mutations of sensible ones, and other people's files.

python -m conformance.ds_configs.cases        writes tests/recorded/ds_configs/cases.jsonl
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import hjson

from conformance.ds_configs.designed import BASES, GONE, GROUPS
from conformance.oracle.case import read_lines, write_lines
from dsbridge.trees import flat

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "recorded" / "ds_configs"
OWN = FOLDER / "cases.jsonl"
SEED = 5
_BATCH = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps")


class Case(NamedTuple):
    """A config as text; sha256 of the file that it is, or is made of, if that is somebody else's."""

    id: str
    text: str
    sha256: str = ""


def own() -> list[Case]:
    """The recorded ones, with what they hold."""
    return [Case(row["id"], json.dumps(row["config"])) for row in read_lines(OWN)]


def corpus(folder: Path) -> Iterator[Case]:
    """Other people's files; and those that wait for the Trainer to fill the batch, with a batch."""
    for path in sorted((folder / "deepspeed").iterdir()):
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        text = data.decode("utf-8")
        name = f"corpus/{path.stem}"
        yield Case(name, text, digest)
        filled = _filled(text)
        if filled:
            yield Case(f"{name}#filled", filled, digest)


def checksum(message: str) -> str:
    """What is kept of a message that quotes somebody's config."""
    return "sha256:" + hashlib.sha256(plain(message).encode()).hexdigest()


def plain(message: str) -> str:
    """Without pydantic's addresses, which have its own version in them."""
    return "\n".join("    …" if "errors.pydantic.dev" in line else line for line in message.splitlines())


def _filled(text: str) -> str:
    """The config with numbers where its batch says "auto"; "" if it has none such."""
    try:
        config = hjson.loads(text)
    except ValueError:
        return ""
    if not isinstance(config, dict) or not any(config.get(name) == "auto" for name in _BATCH):
        return ""
    rest = {key: value for key, value in config.items() if key not in _BATCH}
    return json.dumps({**rest, "train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 2})


def generated(seed: int = SEED) -> Iterator[tuple[str, dict[str, Any]]]:
    """Designed ones, then random slips of the hand."""
    for name, base in BASES.items():
        yield f"base/{name}", base
    for group, entries in GROUPS.items():
        for name, changes in entries.items():
            yield f"{group}/{name}", changed(BASES["zero1"], changes)
    chance = random.Random(seed)
    slips = {"typo": _typo, "moved": _moved, "quoted": _quoted, "kind": _kind}
    for name, slip in slips.items():
        for index in range(24 if name == "typo" else 12):
            base = list(BASES)[1 + index % 2]
            yield f"{name}/{base}-{index:02d}", slip(chance, deepcopy(BASES[base]))


def changed(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A copy with other values at dotted paths."""
    made = deepcopy(base)
    for dotted, value in changes.items():
        *blocks, name = dotted.split(".")
        node = made
        for block in blocks:
            node = node.setdefault(block, {})
        if value is GONE:
            node.pop(name, None)
        else:
            node[name] = deepcopy(value)
    return made


def _pick(chance: random.Random, config: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """A key anywhere, with the mapping it stands in."""
    places = []
    queue = [config]
    while queue:
        node = queue.pop()
        places += [(node, key) for key in node]
        queue += [value for value in node.values() if isinstance(value, dict)]
    return chance.choice(places)


def _typo(chance: random.Random, config: dict[str, Any]) -> dict[str, Any]:
    node, key = _pick(chance, config)
    at = chance.randrange(1, len(key))
    slips = (
        key[:at] + key[at + 1 :],
        key[:at] + key[at] + key[at:],
        key[: at - 1] + key[at] + key[at - 1] + key[at + 1 :],
        key.replace("_", "-") if "_" in key else key.upper(),
        key.replace("_", "", 1) if "_" in key else key.capitalize(),
    )
    renamed = chance.choice([slip for slip in slips if slip != key])
    items = [(renamed if name == key else name, value) for name, value in node.items()]
    node.clear()
    node.update(items)
    return config


def _moved(chance: random.Random, config: dict[str, Any]) -> dict[str, Any]:
    node, key = _pick(chance, config)
    blocks = [config, *(value for value in config.values() if isinstance(value, dict))]
    value = node.pop(key)
    others = [block for block in blocks if block is not node and block is not value]
    chance.choice(others)[key] = value
    return config


def _quoted(chance: random.Random, config: dict[str, Any]) -> dict[str, Any]:
    while True:
        node, key = _pick(chance, config)
        if isinstance(node[key], bool | int | float):
            node[key] = json.dumps(node[key])
            return config


def _kind(chance: random.Random, config: dict[str, Any]) -> dict[str, Any]:
    node, key = _pick(chance, config)
    node[key] = chance.choice([None, [], [1], {}, {"enabled": True}, "x", "auto", -1, 0, 1.5, True, False])
    return config


def main() -> None:
    """Write the generated cases."""
    rows = [{"id": name, "config": config} for name, config in generated()]
    assert len({row["id"] for row in rows}) == len(rows)
    assert all(flat(row["config"]) for row in rows)
    write_lines(OWN, rows)
    print(f"{len(rows)} cases")


if __name__ == "__main__":
    main()
