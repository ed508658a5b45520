"""The condition of a rule, asked of many set-ups: the same values give the same answer, so it is kept.

Most values of a folder of configs are the same in most of them, and a look at what a condition reads takes
a fraction of the time that deciding it does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any

from dsbridge.language import LanguageError, evaluate, facts_in, parts, paths_in
from dsbridge.rules import OverrideRule
from dsbridge.trees import lookup
from dsbridge.values import UNSET, Unknown

MOST_READ = 12  # paths and facts; of more, no two set-ups have the same
MOST_KEPT = 128  # answers of one rule
_NEW = object()
_FACT = "<"  # before the name of a fact; no path begins so


class Seen(dict[str, Any]):
    """Values by path, each looked up once."""

    def __init__(self, trees: Mapping[str, Any]) -> None:
        super().__init__()
        self.trees = trees
        self.of_tree: dict[str, list[str]] = {}

    def __missing__(self, path: str) -> Any:
        found = self[path] = lookup(self.trees, path)
        self.of_tree.setdefault(path.partition(".")[0], []).append(path)
        return found


class Tokens(dict[str, Any]):
    """What tells values apart, by path or fact; hashable."""

    def __init__(self, seen: Seen, facts: Mapping[str, Any]) -> None:
        super().__init__()
        self.seen, self.facts = seen, facts

    def __missing__(self, name: str) -> Any:
        value = self.facts.get(name[1:], UNSET) if name.startswith(_FACT) else self.seen[name]
        found = self[name] = _token(value)
        return found


def _token(value: Any) -> Any:
    kind = type(value)
    if kind is str or value is None or value is UNSET or kind is Unknown:
        return value
    if kind in (bool, int, float):
        return kind, repr(value)  # 1 is not true, and 0.0 not -0.0
    if kind in (dict, list):
        try:
            return kind, json.dumps(value)
        except (TypeError, ValueError, RecursionError):
            return []  # no hash: what it stands in is not kept
    return []


class View:
    """What expressions see: the trees as they are, until somebody writes and says so."""

    def __init__(self, trees: Mapping[str, Any], facts: Mapping[str, Any], tables: Mapping[str, Any]) -> None:
        self.facts = facts
        self.here: tuple[str, Any] = ("", UNSET)
        self.seen = Seen(trees)
        self.tokens = Tokens(self.seen, facts)
        self.get = self.seen.__getitem__
        self.table = tables.__getitem__

    def fact(self, name: str) -> Any:
        """A fact, or Unknown({name})."""
        return self.facts.get(name, Unknown(frozenset({name})))

    def forget(self, tree: str) -> None:
        """This tree has changed."""
        for path in self.seen.of_tree.pop(tree, ()):
            del self.seen[path]
            self.tokens.pop(path, None)


class Question:
    """A rule's condition for the tables of certain versions, with the answers so far."""

    __slots__ = ("_answers", "_key", "rule")

    def __init__(self, rule: OverrideRule) -> None:
        self.rule = rule
        self._answers: dict[Any, Any] = {}
        self._key = _reader(rule.when)

    def answer(self, view: View) -> Any:
        """True, False or Unknown."""
        if self._key is None:
            return asked(self.rule.when, view, self.rule.code)
        key = self._key(view.tokens)
        try:
            found = self._answers.get(key, _NEW)
        except TypeError:
            return asked(self.rule.when, view, self.rule.code)
        if found is _NEW:
            found = asked(self.rule.when, view, self.rule.code)
            if len(self._answers) < MOST_KEPT:
                self._answers[key] = found
        return found


def _reader(condition: Any) -> Callable[[Any], Any] | None:
    """Gives the tokens of everything that a condition reads; None if that is no way to know its answer."""
    read = {*paths_in(condition), *(_FACT + name for name in facts_in(condition))}
    whole = any("." not in path for path in read if not path.startswith(_FACT))
    local = any(part.op in ("here", "here_path", "leaves", "children") for part in parts(condition))
    return itemgetter(*sorted(read)) if 0 < len(read) <= MOST_READ and not whole and not local else None


def asked(condition: Any, view: Any, code: str) -> Any:
    """True, False or Unknown."""
    try:
        value = evaluate(condition, view)
    except LanguageError as error:
        return Unknown(frozenset({f"what {code} does here ({error})"}))
    return value if isinstance(value, Unknown) else bool(value)
