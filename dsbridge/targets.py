"""What rendered files say, flat: file and key to value, whatever the format."""

from __future__ import annotations

from typing import Any

from dsbridge.artifacts import Artifacts
from dsbridge.formats.json import read_json
from dsbridge.formats.yaml import read_yaml
from dsbridge.trees import flat


def written(artifacts: Artifacts) -> dict[str, Any]:
    """`train.yaml: learning_rate` to its value; a launch by words and variables, a program by lines."""
    found: dict[str, Any] = {}
    for name, text in artifacts.files.items():
        if name.endswith(".json"):
            found |= {f"{name}: {key}": value for key, value in flat(read_json(text, name).value).items()}
        elif name.endswith((".yaml", ".yml")):
            found |= {f"{name}: {key}": value for key, value in flat(read_yaml(text, name).value).items()}
        elif name.endswith(".py"):
            found |= {f"{name}: {line.strip()}": True for line in text.splitlines() if _says(line)}
    found |= {f"launch: {name}": value for name, value in artifacts.launch.env.items()}
    return found | _words(artifacts.launch.argv)


def _says(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _words(argv: tuple[str, ...]) -> dict[str, Any]:
    """Options with the word behind them, and KEY=VALUE words."""
    found: dict[str, Any] = {}
    for word, after in zip(argv, [*argv[1:], ""], strict=False):
        name, equals, value = word.partition("=")
        if equals:
            found[f"launch: {name}"] = value
        elif word.startswith("-"):
            found[f"launch: {word}"] = after
    return found
