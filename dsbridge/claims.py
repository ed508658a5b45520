"""What a parser says of a framework's own files: which keys say which field of the spec.

A parser claims keys; whatever it leaves over is kept verbatim where its tree belongs, under `deepspeed` or
`frameworks.<name>`, or is told as unclaimed. So no key can be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from dsbridge.diagnostics import Diagnostic

Key: TypeAlias = tuple[str, ...]  # a leaf of a tree, the tree's name first: ("args", "max_grad_norm")


class Claim(NamedTuple):
    """`keys` say that the spec's `path` is `value` (as dsbridge.yaml would write it).

    reason: why it is not quite the same; "" when it is.
    """

    path: str
    value: Any
    keys: tuple[Key, ...] = ()
    reason: str = ""


class Draft(NamedTuple):
    """One framework's files in the spec's words.

    homes: for each tree, where its unclaimed leaves are kept: "deepspeed", "own", "named" (in a file
    that the spec names, so nothing is copied), or "" when the spec has no room for them.
    consumed: leaves that say nothing of their own ("auto" that an argument fills).
    lost: leaves that reach nobody, with the reason. implied: keys of the framework's own that are not in the
    files, because they are its default, and that rendering would otherwise write as something else.
    silent: what the framework does where the files say nothing, for a target that would do something else.
    alike: whether the files are those arguments that `Framework.arguments` names; a dialect has its own.
    trees: what is in no file, because a launcher makes it of its settings; claims may name its leaves.
    stands_for: for each leaf of those trees the user's own key, or () where the launcher adds it.
    """

    claims: tuple[Claim, ...] = ()
    homes: Mapping[str, str] = MappingProxyType({})
    consumed: frozenset[Key] = frozenset()
    lost: Mapping[Key, str] = MappingProxyType({})
    implied: Mapping[str, Any] = MappingProxyType({})
    silent: Mapping[str, Any] = MappingProxyType({})
    diagnostics: tuple[Diagnostic, ...] = ()
    alike: bool = True
    trees: Mapping[str, Any] = MappingProxyType({})
    stands_for: Mapping[Key, Key] = MappingProxyType({})


def joined(drafts: Iterable[Draft]) -> Draft:
    """Drafts of parts of one input."""
    parts = list(drafts)
    homes: dict[str, str] = {}
    lost: dict[Key, str] = {}
    implied: dict[str, Any] = {}
    silent: dict[str, Any] = {}
    trees: dict[str, Any] = {}
    stands_for: dict[Key, Key] = {}
    for part in parts:
        homes |= part.homes
        trees |= part.trees
        stands_for |= part.stands_for
        lost |= part.lost
        implied |= part.implied
        silent |= part.silent
    return Draft(
        tuple(claim for part in parts for claim in part.claims),
        homes,
        frozenset().union(*(part.consumed for part in parts)),
        lost,
        implied,
        silent,
        tuple(finding for part in parts for finding in part.diagnostics),
        trees=trees,
        stands_for=stands_for,
    )


def leaves_of(tree: Any, above: Key = ()) -> Iterator[tuple[Key, Any]]:
    """Every leaf with its key; empty mappings and lists are leaves."""
    if isinstance(tree, Mapping) and tree:
        for name, value in tree.items():
            yield from leaves_of(value, (*above, str(name)))
    else:
        yield above, tree
