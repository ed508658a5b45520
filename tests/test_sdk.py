"""The two public doors say what they have, and have what they say."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import dsbridge.rulebook
import dsbridge.sdk


def imported() -> set[str]:
    """The names that the sdk imports for the type checker."""
    tree = ast.parse(Path(dsbridge.sdk.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    return {a.asname or a.name for node in block.body if isinstance(node, ast.ImportFrom) for a in node.names}


def test_the_sdk_has_every_name_it_lists() -> None:
    assert imported() == set(dsbridge.sdk.__all__)
    for name in dsbridge.sdk.__all__:
        assert getattr(dsbridge.sdk, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = dsbridge.sdk.nothing


def test_the_rulebook_lists_every_name_it_has() -> None:
    tools = {"annotations", "TYPE_CHECKING", "Sequence"}  # of the module itself
    has = {name for name in vars(dsbridge.rulebook) if not name.startswith("__")}
    assert has - tools == set(dsbridge.rulebook.__all__)
