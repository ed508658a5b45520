"""The condition of a rule, asked of many set-ups: the same values give the same answer, so it is kept.

Most values of a folder of configs are the same in most of them, and a look at what a condition reads takes
a fraction of the time that deciding it does. Where a condition reads one field of a block as a class makes
it, the field is what it is asked by: the numbers beside it make no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

from dsbridge.language import LanguageError, evaluate
from dsbridge.language.reads import DERIVED, FACT, UNDECIDED, derived, derived_at, reads, root
from dsbridge.rules import OverrideRule
from dsbridge.trees import block_token, lookup
from dsbridge.values import UNSET, Unknown

MOST_READ = 24  # of more, no two set-ups have the same
MOST_KEPT = 256  # answers of one rule
_NEW: Any = object()


class Seen(dict[str, Any]):
    """Values by path, each looked up once."""

    def __init__(self, trees: Mapping[str, Any]) -> None:
        super().__init__()
        self.trees = trees
        self.at: dict[str, list[str]] = {}  # what was looked up, by root

    def __missing__(self, path: str) -> Any:
        found = self[path] = lookup(self.trees, path)
        self.at.setdefault(root(path), []).append(path)
        return found


class Tokens(dict[str, Any]):
    """What tells values apart, by path, fact or derived value; hashable."""

    def __init__(self, view: View) -> None:
        super().__init__()
        self.view = view

    def __missing__(self, name: str) -> Any:
        kind = name[0]
        if kind == DERIVED:
            value = self.view.derived(name)
        elif kind == FACT:
            value = self.view.facts.get(name[1:], UNSET)
        else:
            value = self.view.seen[name]
        found = self[name] = _token(value)
        return found


def _token(value: Any) -> Any:
    kind = type(value)
    if kind is str or value is None or value is UNSET or kind is Unknown:
        return value
    if kind in (bool, int, float):
        return kind, repr(value)  # 1 is not true, and 0.0 not -0.0
    if kind is dict or kind is list:
        return block_token(value) or _deep_token(value)
    return _NO_TOKEN


def _deep_token(value: Any) -> Any:
    """Of a block with something in it that is no JSON."""
    if type(value) is dict:
        return dict, *((name, _token(item)) for name, item in value.items())
    return (list, *map(_token, value)) if type(value) is list else _NO_TOKEN


_NO_TOKEN: list[Any] = []  # no hash: what it stands in is not kept


class View:
    """What expressions see: the trees as they are, until somebody writes and says so."""

    def __init__(self, trees: Mapping[str, Any], facts: Mapping[str, Any], tables: Mapping[str, Any]) -> None:
        self.facts = facts
        self.here: tuple[str, Any] = ("", UNSET)
        self.seen = Seen(trees)
        self.tokens = Tokens(self)
        self.made: dict[str, Any] = {}
        self.get = self.seen.__getitem__
        self.table = tables.__getitem__

    def fact(self, name: str) -> Any:
        """A fact, or Unknown({name})."""
        return self.facts.get(name, Unknown(frozenset({name})))

    def derived(self, name: str) -> Any:
        """A derived value, computed once; UNDECIDED where it cannot be."""
        found = self.made.get(name, _NEW)
        if found is _NEW:
            try:
                found = derived(name).run(self)
            except LanguageError:
                found = UNDECIDED
            self.made[name] = found
        return found

    def forget(self, path: str) -> None:
        """Something was written at this path: what depends on it, and on what is around or inside."""
        tree, dot, _ = path.partition(".")
        if dot:
            roots = [tree, root(path)]
        else:
            roots = [one for one in self.seen.at if one == tree or one.startswith(f"{tree}.")]
        for one in roots:
            for name in self.seen.at.pop(one, ()):
                self.seen.pop(name, None)
                self.tokens.pop(name, None)
        for name in derived_at(path):
            self.made.pop(name, None)
            self.tokens.pop(name, None)


class Question:
    """A rule's condition for the tables of certain versions, with the answers so far."""

    __slots__ = ("_answers", "_key", "rule")

    def __init__(self, rule: OverrideRule) -> None:
        self.rule = rule
        self._answers: dict[Any, Any] = {}
        self._key: Any = _NEW  # most rules are never asked

    def answer(self, view: View) -> Any:
        """True, False or Unknown."""
        if self._key is _NEW:
            self._key = _reader(self.rule.when)
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


class Moment:
    """Questions that are asked together: most come to nothing, as they did for the config before."""

    __slots__ = ("_answers", "_key", "_others", "_together", "questions")

    def __init__(self, questions: Sequence[Question]) -> None:
        self.questions = questions
        self._answers: dict[Any, Answers] = {}
        self._key: Any = _NEW
        self._together: list[tuple[int, Question]] = []
        self._others: list[tuple[int, Question]] = []

    def answers(self, view: View) -> Answers:
        """The questions, by number, whose answer is not a plain no."""
        if self._key is _NEW:
            self._prepare()
        if self._key is None:
            return _asked_each(enumerate(self.questions), view)
        try:
            key = self._key(view.tokens)
            found = self._answers.get(key)
        except TypeError:
            return _asked_each(enumerate(self.questions), view)
        if found is None:
            found = _asked_each(self._together, view)
            if len(self._answers) < MOST_KEPT:
                self._answers[key] = found
        if not self._others:
            return found
        return sorted((*found, *_asked_each(self._others, view)), key=itemgetter(0))

    def _prepare(self) -> None:
        names: set[str] = set()
        for number, question in enumerate(self.questions):
            read = reads(question.rule.when)
            few = read is not None and len(read) <= MOST_READ
            (self._together if few else self._others).append((number, question))
            names.update(read if read is not None and few else ())
        self._key = itemgetter(*sorted(names)) if names else None


Answers: TypeAlias = "list[tuple[int, Question, Any]]"


def _asked_each(questions: Iterable[tuple[int, Question]], view: View) -> Answers:
    every = ((number, question, question.answer(view)) for number, question in questions)
    return [one for one in every if one[2] is not False]


def _reader(condition: Any) -> Callable[[Any], Any] | None:
    """Gives the tokens of everything that a condition reads; None if that is no way to know its answer."""
    read = reads(condition)
    return itemgetter(*sorted(read)) if read is not None and 0 < len(read) <= MOST_READ else None


def asked(condition: Any, view: Any, code: str) -> Any:
    """True, False or Unknown."""
    try:
        value = evaluate(condition, view)
    except LanguageError as error:
        return Unknown(frozenset({f"what {code} does here ({error})"}))
    return value if isinstance(value, Unknown) else bool(value)
