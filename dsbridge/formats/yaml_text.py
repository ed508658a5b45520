"""Plain values to YAML text that YAML 1.1 readers (PyYAML) and 1.2 readers (ruamel, OmegaConf) agree on."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml

from dsbridge.formats.yaml import plain_scalar


def to_yaml(value: Any) -> str:
    """Block style, keys in the order given, floats as `1.0e-05`, words that look like numbers quoted."""
    return yaml.dump(value, Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=10**9)


@cache
def _dumper() -> type[yaml.SafeDumper]:
    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        # PyYAML writes `1e5` bare, because to it that is text; to the others it is a number
        style = None if isinstance(plain_scalar(value), str) else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return Dumper
