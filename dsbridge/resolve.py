"""Fold the rules of a program over the trees of a set-up: the only place that makes a Step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from dsbridge.language import Expr, LanguageError, evaluate
from dsbridge.language.groups import Here
from dsbridge.language.logic import merged_needs
from dsbridge.language.origins import origin, origins
from dsbridge.questions import View, asked
from dsbridge.ruleindex import Index
from dsbridge.rules import Call, Layer, Moment, OverrideRule, Phase, Program, Step, Versions, applies
from dsbridge.trees import copied, lookup, store
from dsbridge.values import UNSET, Unknown


class RuleConflict(Exception):
    """Two rules write one path in one moment, or the program names a moment that no layer has."""


class Refused(NamedTuple):
    """The first refusal that the run meets."""

    rule: OverrideRule
    phase: Phase
    type: str
    message: str
    fields: tuple[str, ...]


class Maybe(NamedTuple):
    """A refusal that depends on what nobody knows yet."""

    rule: OverrideRule
    needs: frozenset[str]


class Outcome(NamedTuple):
    """What resolving gives. `config` is `ds` as deepspeed.initialize gets it; None if never called.

    further: what would stop the run next, once the first refusal is put right (asked for with `onward`).
    """

    trees: Mapping[str, Any]
    config: Any
    steps: Mapping[str, tuple[Step, ...]]
    notes: tuple[Step, ...]
    refused: Refused | None
    maybe: tuple[Maybe, ...]
    further: tuple[Refused, ...] = ()


class Book(NamedTuple):
    """The rules of some layers by moment, for the versions at hand.

    layers: those it is of; active: which of the rules can act, by what is there.
    """

    layers: tuple[Layer, ...]
    moments: Mapping[str, Moment]
    rules: Mapping[str, tuple[OverrideRule, ...]]
    tables: Mapping[str, Any]
    active: Index


class _Tables(dict[str, Any]):
    """Tables made when first asked for."""

    def __init__(self, layers: Iterable[Layer], versions: Versions) -> None:
        super().__init__()
        self.makers = {name: maker for layer in layers for name, maker in layer.tables.items()}
        self.versions = versions

    def __missing__(self, name: str) -> Any:
        self[name] = self.makers[name](self.versions)
        return self[name]


_BOOKS: dict[Any, Book] = {}
_MAX_BOOKS = 32  # each holds the tables of its versions


def book(layers: Sequence[Layer], versions: Versions) -> Book:
    """The rules that hold for these versions. Kept: a folder of configs is resolved with one."""
    key = (tuple(map(id, layers)), tuple(versions.items()))
    found = _BOOKS.get(key)
    if found is None:
        if len(_BOOKS) >= _MAX_BOOKS:
            _BOOKS.clear()
        found = _BOOKS[key] = _book(layers, versions)
    return found


def _book(layers: Sequence[Layer], versions: Versions) -> Book:
    by_moment: dict[str, list[OverrideRule]] = {}
    for layer in layers:
        for rule in layer.rules:
            if applies(rule, versions):
                by_moment.setdefault(rule.moment, []).append(rule)
    rules = {name: tuple(found) for name, found in by_moment.items()}
    return Book(
        tuple(layers),  # held, so that no other layer can get the id of one of them
        {moment.name: moment for layer in layers for moment in layer.moments},
        rules,
        _Tables(layers, dict(versions)),
        Index(rules),
    )


# by path: the rule, its value, the path that it comes from, and those of a block's leaves
_Writes: TypeAlias = dict[str, tuple[OverrideRule, Any, str, dict[str, str]]]


class _Run:
    """One resolution in progress."""

    def __init__(
        self, rules: Book, trees: Mapping[str, Any], facts: Mapping[str, Any], onward: bool = False
    ) -> None:
        self.book, self.onward = rules, onward
        self.trees: dict[str, Any] = {name: copied(tree) for name, tree in trees.items()}
        self.facts = facts
        self.steps: dict[str, list[Step]] = {}
        self.notes: list[Step] = []
        self.maybe: list[Maybe] = []
        self.config: Any = None
        self.refused: Refused | None = None
        self.further: list[Refused] = []
        self.unused = False
        self.view = View(self.trees, facts, rules.tables)
        self.able = rules.active.able(self.trees)

    def program(self, program: Program) -> None:
        """Every moment in order, until one refuses; `onward`, all of them."""
        for entry in program:
            if isinstance(entry, Call):
                self.call(entry)
            else:
                self.moment(entry)
            if self.unused or (self.refused and not self.onward):
                return

    def call(self, call: Call) -> None:
        """Run moments over another tree and keep nothing but a refusal."""
        held = asked(call.when, self.view, call.name)
        if held is False:
            return
        inner = _Run(self.book, {**self.trees, "ds": self.trees.get(call.tree, {})}, self.facts)
        inner.program(call.moments)
        if inner.refused and isinstance(held, Unknown):
            self.maybe.append(Maybe(inner.refused.rule, held.needs))
        elif inner.refused:
            self.refuse(inner.refused)
        self.maybe += inner.maybe

    def refuse(self, refused: Refused) -> None:
        """The run stops here; or would, if nothing before had stopped it."""
        if self.refused is None:
            self.refused = refused
        else:
            self.further.append(refused)

    def moment(self, name: str) -> None:
        """Ask the refusals, then collect what is to be written, then write it."""
        moment = self.book.moments.get(name)
        if moment is None:
            raise RuleConflict(f"the program names the moment {name}, which no layer has")
        if moment.phase is Phase.ENGINE and "ds" not in self.trees:
            self.unused = True  # nobody has a DeepSpeed config, so nobody calls deepspeed.initialize
            return
        if moment.phase is Phase.ENGINE and "engine" not in self.trees:
            self.config = copied(self.trees.get("ds"))
            self.trees["engine"] = copied(self.config) if isinstance(self.config, dict | Unknown) else {}
            self.able.add("engine", self.trees["engine"])
            self.view.forget("engine")
        questions = self.able.of(name)
        if questions is None:
            return
        writes: _Writes = {}
        stopped = False
        view = self.view
        for _, question, held in questions.answers(view):
            rule = question.rule
            if rule.refuses is not None:
                if isinstance(held, Unknown):
                    self.maybe.append(Maybe(rule, held.needs))
                elif not stopped:
                    self.refuse(_refused(rule, moment.phase, view))
                    stopped = True  # the next ones of this moment take for granted that this one passed
                if stopped and not self.onward:
                    return
            elif rule.asked is not None and rule.value is None:
                self.note(rule, moment.phase, view)
            else:
                _collect(writes, rule, held, view)
        for path, (rule, value, whence, parts) in writes.items():
            before = lookup(self.trees, path)
            self.write(Step(rule, moment.phase, before, value, whence, parts), path)
            view.forget(path)

    def note(self, rule: OverrideRule, phase: Phase, view: View) -> None:
        """A wish that goes nowhere."""
        wish = _valued(rule.asked, view, rule.code)
        self.notes.append(Step(rule, phase, wish, UNSET, origin(rule.asked, view)))

    def write(self, step: Step, path: str) -> None:
        """Change the tree, and remember it at the path and, for a block, at each of its leaves."""
        after = copied(step.after)
        store(self.trees, path, after)
        if after is not UNSET:
            self.able.add(path, after)
        self.steps.setdefault(path, []).append(step)


def resolve(
    layers: Sequence[Layer],
    program: Program,
    trees: Mapping[str, Any],
    facts: Mapping[str, Any],
    versions: Versions,
    *,
    onward: bool = False,
) -> Outcome:
    """What the program makes of the trees.

    onward: go on behind a refusal, for all that is wrong at once. Nothing behind it is a prediction.

    trees: by name, e.g. {"ds": {...}, "args": {...}}; `ds` is absent when no DeepSpeed config is used.
    facts: by name, e.g. {"world_size": 8}; a missing one makes Unknown what depends on it.
    """
    run = _Run(book(layers, versions), trees, facts, onward)
    run.program(program)
    return Outcome(
        run.trees,
        run.config,
        {path: tuple(steps) for path, steps in run.steps.items()},
        tuple(run.notes),
        run.refused,
        tuple(run.maybe),
        tuple(run.further),
    )


def _valued(expression: Any, view: Any, code: str) -> Any:
    try:
        return evaluate(expression, view)
    except LanguageError as error:
        return Unknown(frozenset({f"what {code} does here ({error})"}))


def _refused(rule: OverrideRule, phase: Phase, view: View) -> Refused:
    assert rule.refuses is not None
    message = _valued(rule.refuses.message, view, rule.code)
    fields = _valued(rule.refuses.fields, view, rule.code)
    known = () if isinstance(fields, Unknown) else tuple(dict.fromkeys(fields))
    kind = _valued(rule.refuses.type, view, rule.code)
    return Refused(rule, phase, str(kind), "…" if isinstance(message, Unknown) else str(message), known)


def _collect(writes: _Writes, rule: OverrideRule, held: Any, view: View) -> None:
    """Note what a rule would write; a condition nobody can decide makes the value Unknown."""
    if isinstance(rule.writes, str):
        paths: Any = [rule.writes]
    else:
        paths = _valued(rule.writes, view, rule.code)
        if isinstance(paths, Unknown):
            paths = []  # asked of the values at the paths: those that are Unknown stay so
    for path in paths:
        local = Here(view, path, view.get(path))
        value = _valued(rule.value, local, rule.code)
        if isinstance(held, Unknown):
            if type(value) is type(local.here[1]) and value == local.here[1]:
                continue  # it would write what is there already
            value = held
        if path in writes and (isinstance(held, Unknown) or isinstance(writes[path][1], Unknown)):
            value = merged_needs([held, value, writes[path][1]])  # one of them will, nobody knows which
        elif path in writes:
            raise RuleConflict(
                f"{writes[path][0].code} and {rule.code} both write {path} in moment {rule.moment}: "
                "give one a later moment, or conditions that exclude each other"
            )
        if isinstance(rule.value, Expr):
            writes[path] = (rule, value, origin(rule.value, local), origins(rule.value, local))
        else:
            writes[path] = (rule, value, "", {})
