"""Values that a user wrote and that do not train: replaced, lost, or never carried over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from dsbridge.deepspeed.meanings import NOTHING, RESULT, Meaning, meaning_of
from dsbridge.provenance import Source
from dsbridge.rules import OverrideRule
from dsbridge.stories import Story
from dsbridge.subjects.subject import Subject
from dsbridge.values import UNSET, Unknown

# What an optimizer step sees follows from these, unless the total is written too.
_BATCH = ("gradient_accumulation_steps", "train_micro_batch_size_per_gpu")

# Accelerate refuses a YAML that says these beside a config, so there is no more to say of them.
_REFUSED = {"ACC170": "ACC159", "ACC171": "ACC159", "ACC172": "ACC159"}


class Wish(NamedTuple):
    """One value that lost.

    key: DeepSpeed's, dotted. name: where the user wrote it, as the trees call it (`args.max_grad_norm`, or
    `ds.` and the key). value, at: what was asked, and its place. holds: what trains instead; UNSET for
    nothing. winner: the place of that, if a user wrote it too. rule: who did it.
    """

    key: str
    name: str
    value: Any
    at: Source | None
    holds: Any
    winner: Source | None
    rule: OverrideRule
    meaning: Meaning

    @property
    def shown(self) -> str:
        """The name as the user knows it."""
        return shown(self.name)


def shown(name: str) -> str:
    """A tree's path as its user writes it: without the tree, and without dsbridge's own words in it."""
    return name.partition(".")[2].removeprefix("asked_").removeprefix("asked.") or name


def wishes(subject: Subject) -> tuple[Wish, ...]:
    """Every one of them, in the order of the prediction; each key of each place once."""
    if subject.explanation is None or subject.explanation.config is None or subject.blind:
        return ()
    found = [*_unheard(subject), *_replaced(subject)]
    told: dict[tuple[str, str], Wish] = {}
    for wish in found:
        told.setdefault((wish.key, wish.name), wish)
    return tuple(told.values())


def _unheard(subject: Subject) -> Iterator[Wish]:
    """Said beside the DeepSpeed config, and carried over by nobody."""
    assert subject.explanation is not None
    for note in subject.explanation.result.notes:
        key = str(note.rule.writes).partition(".")[2]
        name = str(note.origin)
        holds = _holds(subject, key)
        if not name or isinstance(note.before, Unknown) or alike(note.before, holds):
            continue
        if subject.refusal(_REFUSED.get(note.rule.code, "")):
            continue
        source, wrote = _said(subject, name, key)
        if source is None:
            continue
        story = subject.stories.get(key)
        winner = subject.place(f"ds.{key}") or (story.source if story else None)
        winner = None if winner == source else winner
        yield Wish(key, wrote, note.before, source, holds, winner, note.rule, _meaning(subject, key))


def _replaced(subject: Subject) -> Iterator[Wish]:
    """Written in the DeepSpeed config, and replaced or removed on its way."""
    for key, story in subject.stories.items():
        asked = subject.written(key)
        steps = [step for step in story.steps if step.rule.asked is None]
        if asked is UNSET or asked in ("auto", {}) or not steps or isinstance(story.value, Unknown):
            continue
        met = (story.requested, *(value for step in steps for value in (step.before, step.after)))
        if alike(asked, story.value) or not any(alike(asked, value) for value in met):
            continue  # a file that could not be opened was never there
        origin = str(steps[-1].origin)
        winner = subject.at(origin) if origin and not origin.startswith("ds.") else None
        place = subject.place(f"ds.{key}")
        rule = steps[-1].rule
        yield Wish(key, f"ds.{key}", asked, place, story.value, winner, rule, _meaning(subject, key))


def _said(subject: Subject, name: str, key: str) -> tuple[Source | None, str]:
    """Where the user wrote what a tree holds: at its own place, where a rule took it from, or in the same
    tree under DeepSpeed's name."""
    assert subject.explanation is not None
    sources = subject.explanation.input.reading.sources
    steps = subject.explanation.result.steps
    for _ in range(len(steps) + 1):
        if name in sources:
            return sources[name], name
        own = f"{name.partition('.')[0]}.{key}"
        made = steps.get(name)
        if not made or not made[-1].origin:
            return sources.get(own), own if own in sources else name
        name = str(made[-1].origin)
    return None, name


def _holds(subject: Subject, key: str) -> Any:
    story: Story | None = subject.stories.get(key)
    value = story.value if story else subject.effective(key)
    if value is UNSET:
        value = subject.effective(key)
    return UNSET if isinstance(value, Unknown) else value


def _meaning(subject: Subject, key: str) -> Meaning:
    """The class of the difference. Part of the batch is all of it where nobody fixed the total."""
    row = meaning_of(key)
    if key in _BATCH and subject.written("train_batch_size") in (UNSET, "auto"):
        return meaning_of("batch.global")
    return row


def alike(one: Any, other: Any) -> bool:
    """The same to DeepSpeed: 5e8 is 500000000, and "True" in quotes is true."""
    if isinstance(one, bool) or isinstance(other, bool) or isinstance(one, str) or isinstance(other, str):
        return str(one).lower() == str(other).lower() or _number(one) == _number(other) is not None
    return bool(one == other)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def silent(wish: Wish) -> bool:
    """Whether training does not notice, so that nobody needs to hear of it."""
    return wish.meaning.kind == NOTHING


def changes_result(wish: Wish) -> bool:
    """Whether something else is trained."""
    return wish.meaning.kind == RESULT


def instead(wish: Wish) -> str:
    """What trains in its place, in words."""
    where = f" ({wish.winner})" if wish.winner else ""
    if wish.holds is UNSET or isinstance(wish.holds, dict | list):
        return f"`{wish.key}`{where} decides" if wish.winner else f"nobody passes it on to `{wish.key}`"
    return f"`{wish.key}` is {wish.holds!r}{where}"


def written_number(value: Any) -> int | float | None:
    """A plain number, as a file holds it; None for anything else."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
