"""What a framework does to the DeepSpeed config, as rows of data.

A *layer* is one package's share (LLaMA-Factory, the Trainer, Accelerate, DeepSpeed, ...): its moments, its
rules and its version tables. A *moment* is one place in the package's code; the rules of a moment see the
state at its start, so their order of writing cannot matter, and two that write one path are an error that
names both. Refusals are asked in the order of the table, before anything of the moment is written.
A *program* is the order of the moments of all layers that a framework runs through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from dsbridge.language import Expr

NOTHING: Mapping[str, Any] = MappingProxyType({})
# DeepSpeed's own moments, which every program ends with; dsbridge/deepspeed/moments.py tells them.
INITIALIZE = ("deepspeed.initialize",)
# DeepSpeedConfig: also run by `zero.Init`, which parses a config before any engine exists.
PARSE = (
    "deepspeed.config.removed",
    "deepspeed.config.elasticity",
    "deepspeed.config.parameters",
    "deepspeed.config.batch",
    "deepspeed.config.batch_check",
    "deepspeed.config.check",
)
ENGINE = (
    "deepspeed.engine.check",
    "deepspeed.engine.model",
    "deepspeed.engine.basic_optimizer",
    "deepspeed.engine.optimizer",
    "deepspeed.engine.scheduler",
    "deepspeed.engine.made",
)


class Phase(IntEnum):
    """When, in the framework's own life, a rewrite happens."""

    LAUNCH = 1  # before the training process exists
    INIT = 2  # while arguments, plugins and the model are made
    PREPARE = 3  # when training is about to start, up to deepspeed.initialize
    ENGINE = 4  # inside deepspeed.initialize


class Loudness(IntEnum):
    """What the user would have seen of it."""

    SILENT = 1
    LOGGED = 2
    RAISES = 3


class Evidence(NamedTuple):
    """Where the package does it: `file` within the package, `quote` one line of it, word for word.

    `recorded` is the id of a recorded case in which it happened.
    """

    package: str
    version: str
    file: str
    lines: str
    quote: str
    recorded: str


class Range(NamedTuple):
    """Versions of one package: from `since` on (included), up to `until` (excluded); "" is no bound."""

    package: str
    since: str = ""
    until: str = ""


class Refusal(NamedTuple):
    """The exception that the framework stops with.

    message: as the framework words it; "…" in it stands for anything. fields: paths at fault, or an
    expression that gives them.
    """

    type: Expr | str
    message: Expr | str
    fields: tuple[str, ...] | Expr


class OverrideRule(NamedTuple):
    """One thing that one package does.

    writes: the path it writes, or an expression that gives several paths; "" for a refusal or a note.
    value: what it writes there; UNSET removes the key. Over several paths, `here` is the old value.
    refuses: set for a rule that stops the run instead.
    asked: for a note: the user's wish (in another place) that the framework does not carry over to `writes`.
    holds/fires: trees and facts ({"ds.gradient_clipping": 0.5, "fact.world_size": 2}) in which the rule does
    not act, and does.
    """

    code: str
    title: str
    layer: str
    moment: str
    when: Expr
    why: str
    evidence: tuple[Evidence, ...]
    fires: Mapping[str, Any]
    holds: Mapping[str, Any]
    writes: str | Expr = ""
    value: Any = None
    refuses: Refusal | None = None
    asked: Expr | None = None
    loudness: Loudness = Loudness.SILENT
    hint: str = ""
    versions: tuple[Range, ...] = ()


class Rows(NamedTuple):
    """Shorter ways to write one layer's rules: what all of them share is said once.

    package: whose versions and source the rules are about; newest: the version that evidence is from, unless
    it says another; hint: what a refusal advises that has no hint of its own.
    """

    layer: str
    package: str
    newest: str
    hint: str = ""

    def evidence(
        self, file: str, lines: str, quote: str, recorded: str, version: str = ""
    ) -> tuple[Evidence, ...]:
        """One piece of evidence in the package itself; `../` names a case of another framework."""
        case = recorded.removeprefix("../") if recorded.startswith("../") else f"{self.layer}/{recorded}"
        return (Evidence(self.package, version or self.newest, file, lines, quote, case),)

    def since(self, version: str) -> tuple[Range, ...]:
        """From this version on."""
        return (Range(self.package, since=version),)

    def until(self, version: str) -> tuple[Range, ...]:
        """Before this version."""
        return (Range(self.package, until=version),)

    def refusal(
        self,
        code: str,
        title: str,
        moment: str,
        when: Expr,
        error: tuple[Expr | str, Expr | str, tuple[str, ...] | Expr],
        why: str,
        evidence: tuple[Evidence, ...],
        fires: Mapping[str, Any],
        holds: Mapping[str, Any],
        hint: str = "",
        versions: tuple[Range, ...] = (),
    ) -> OverrideRule:
        """A rule that stops the run. error: type, message, fields; moment: without the layer's name."""
        return OverrideRule(
            code=code,
            title=title,
            layer=self.layer,
            moment=f"{self.layer}.{moment}",
            when=when,
            why=why,
            evidence=evidence,
            fires=fires,
            holds=holds,
            refuses=Refusal(*error),
            loudness=Loudness.RAISES,
            hint=hint or self.hint,
            versions=versions,
        )

    def write(
        self,
        code: str,
        title: str,
        moment: str,
        when: Expr,
        path: str | Expr,
        value: Any,
        why: str,
        evidence: tuple[Evidence, ...],
        fires: Mapping[str, Any],
        holds: Mapping[str, Any],
        **more: Any,
    ) -> OverrideRule:
        """A rule that writes; `more` as in OverrideRule."""
        return OverrideRule(
            code=code,
            title=title,
            layer=self.layer,
            moment=f"{self.layer}.{moment}",
            when=when,
            why=why,
            evidence=evidence,
            fires=fires,
            holds=holds,
            writes=path,
            value=value,
            **more,
        )


class Moment(NamedTuple):
    """One place in a package's code."""

    name: str
    phase: Phase
    title: str


class Call(NamedTuple):
    """A part of a program that looks at another tree: ZeRO-3's `zero.Init` parses a config of its own.

    The moments run with `tree` in place of `ds`. Refusals count; what they write is forgotten.
    """

    name: str
    when: Expr
    tree: str
    moments: tuple[str, ...]


Program: TypeAlias = tuple["str | Call", ...]
Versions: TypeAlias = Mapping[str, str]


class Layer(NamedTuple):
    """One package's share of what happens. `verified` gives the versions that were recorded."""

    name: str
    moments: tuple[Moment, ...]
    rules: tuple[OverrideRule, ...]
    tables: Mapping[str, Callable[[Versions], Any]] = NOTHING
    verified: Mapping[str, tuple[str, ...]] = NOTHING


class Step(NamedTuple):
    """One rewrite of one value. `origin` is the path the new value was taken from, if it was; `origins`
    those of a block's leaves, by name below the block.
    """

    rule: OverrideRule
    phase: Phase
    before: Any
    after: Any
    origin: str = ""
    origins: Mapping[str, str] = NOTHING


@cache
def numbers(version: str) -> tuple[int, ...]:
    """The release numbers of a version: (0, 19, 8) for 0.19.8.post1."""
    found = []
    for part in version.split("+")[0].split("."):
        digits = ""
        for letter in part:
            if not letter.isdigit():
                break
            digits += letter
        if not digits:
            break
        found.append(int(digits))
        if digits != part:
            break
    return tuple(found)


def applies(rule: OverrideRule, versions: Versions) -> bool:
    """True when every range holds. A package whose version nobody knows counts as the newest."""
    for package, since, until in rule.versions:
        have = versions.get(package)
        if have is None:
            if until:
                return False
            continue
        if since and numbers(have) < numbers(since):
            return False
        if until and numbers(have) >= numbers(until):
            return False
    return True
