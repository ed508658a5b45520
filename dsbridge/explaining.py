"""The explain pass: an input to the effective DeepSpeed config, with the story of every field."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.inputs import Input, read_input
from dsbridge.plugins import Registry, registry
from dsbridge.reading import Files
from dsbridge.resolve import Outcome, resolve
from dsbridge.rules import Layer, Loudness, Program, numbers
from dsbridge.stories import DEFAULT, Story, engine_values, stories
from dsbridge.trees import copied, flat, lookup, store
from dsbridge.values import UNSET, Unknown

NOT_VERIFIED = Code("EX001", "version-not-verified", Severity.WARNING, "A version that was never recorded.")
NEEDS = Code("EX002", "needs-verification", Severity.WARNING, "A value depends on a fact nobody gave.")
MAY_REFUSE = Code("EX003", "may-be-refused", Severity.WARNING, "Whether it starts depends on a fact.")
NOT_USED = Code("EX004", "deepspeed-not-used", Severity.WARNING, "The run never calls DeepSpeed.")
REFUSED = Code("EX005", "refused", Severity.ERROR, "The framework stops before training.")
CODES = (NOT_VERIFIED, NEEDS, MAY_REFUSE, NOT_USED, REFUSED)

# Assumed unless a flag says otherwise: a GPU that has them.
ASSUMED: dict[str, Any] = {"bf16_supported": True, "fp16_supported": True}


class _Explanation(NamedTuple):
    framework: str
    versions: Mapping[str, str]
    facts: Mapping[str, Any]
    outcome: str  # "ok" or "refused"
    error: dict[str, Any] | None
    config: Any
    engine: Any
    unknown: Mapping[str, tuple[str, ...]]
    trees: Mapping[str, Any]
    batch: Mapping[str, Any]
    diagnostics: tuple[Diagnostic, ...]
    result: Outcome
    input: Input


class Explanation(_Explanation):
    """What `explain` says. `config` is None when DeepSpeed is never called, or was refused before.

    trees: as they were before the first rule.
    """

    @cached_property
    def fields(self) -> tuple[Story, ...]:
        """The story of every field, told when somebody asks."""
        return tuple(stories(self.input, self.result, self.trees))


def explain(
    files: Files,
    given: Sequence[str] = (),
    command: Sequence[str] = (),
    *,
    target: str = "",
    facts: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
    plugins: Registry | None = None,
) -> Explanation:
    """Predict what deepspeed.initialize receives for these files or this command.

    facts: override what the input says; a dotted name sets a tree's value (`args.max_grad_norm`).
    versions: by package; others are the installed ones, else the newest recorded.

    Raises:
        InputError: the input cannot be read.
    """
    known = plugins or registry()
    return explain_input(read_input(known, files, given, command, target, facts, versions), known)


def explain_input(found: Input, known: Registry, *, onward: bool = False) -> Explanation:
    """The same of an input that has been read. onward: as in `resolve`."""
    stated, have = dict(found.stated), found.setup.versions
    trees = dict(found.reading.trees)
    if isinstance(stated.get("model"), Mapping):
        trees["model"] = stated["model"]
    if "hidden_size" in stated:
        stated.setdefault("model.hidden_size", stated["hidden_size"])
    for name, value in stated.items():
        if "." in name:
            root, _, rest = name.partition(".")
            trees[root] = copied(trees.get(root, {}))  # what was read stays as it was
            store(trees[root], rest, value)
    settled = {**ASSUMED, **found.reading.facts, **{n: v for n, v in stated.items() if "." not in n}}
    layers = [known.layer(name) for name in found.reader.layers]
    usual = found.reader.program
    program = usual if found.reading.program is None else found.reading.program
    outcome = resolve(layers, program, trees, settled, have, onward=onward)
    idle = [layer for layer in layers if not _takes_part(layer, program)]
    layers = [layer for layer in layers if layer not in idle]
    have = {name: number for name, number in have.items() if not any(name in i.verified for i in idle)}
    return _explained(found, layers, outcome, have, settled, trees)


def _takes_part(layer: Layer, program: Program) -> bool:
    """Whether the program comes by one of its moments."""
    own = {moment.name for moment in layer.moments}
    return any(not own.isdisjoint((e,) if isinstance(e, str) else (e.name, *e.moments)) for e in program)


def _explained(
    found: Input,
    layers: Sequence[Layer],
    outcome: Outcome,
    versions: Mapping[str, str],
    facts: Mapping[str, Any],
    trees: Mapping[str, Any],
) -> Explanation:
    refused = outcome.refused
    error = None
    if refused:
        error = {"type": refused.type, "message": refused.message, "fields": list(refused.fields)}
    unknown = _unknown(outcome)
    diagnostics = (
        *found.reading.diagnostics,
        *_unverified(layers, versions),
        *_findings(found, outcome, unknown),
    )
    return Explanation(
        framework=found.framework.name,
        versions=versions,
        facts=facts,
        outcome="refused" if refused else "ok",
        error=error,
        config=None if outcome.config is None else _known(outcome.config),
        engine=outcome.trees.get("engine"),
        unknown=unknown,
        trees=trees,
        batch=_batch(outcome),
        diagnostics=diagnostics,
        result=outcome,
        input=found,
    )


def _unknown(outcome: Outcome) -> dict[str, tuple[str, ...]]:
    """Paths of the config whose value nobody can know yet, with the facts that would settle them."""
    found = {}
    tree = outcome.config if outcome.config is not None else outcome.trees.get("ds", {})
    for path, value in flat(tree).items():
        if isinstance(value, Unknown):
            found[path] = tuple(sorted(value.needs))
    return found


def _known(value: Any) -> Any:
    """The config without what is unknown."""
    if isinstance(value, Mapping):
        return {key: _known(item) for key, item in value.items() if not isinstance(item, Unknown)}
    return [_known(item) for item in value] if isinstance(value, list) else value


def _unverified(layers: Sequence[Layer], versions: Mapping[str, str]) -> list[Diagnostic]:
    """Versions older than the oldest recorded one, or newer than the newest."""
    found = []
    for layer in layers:
        for package, recorded in layer.verified.items():
            have = versions.get(package)
            known = sorted(recorded, key=numbers)
            if have and known and not numbers(known[0]) <= numbers(have) <= numbers(known[-1]):
                found.append(
                    NOT_VERIFIED(
                        f"not verified for {package} {have}: recorded with {', '.join(known)}",
                        hint=f"`dsbridge verify` compares with the installed {package}.",
                    )
                )
    return list(dict.fromkeys(found))


def _findings(found: Input, outcome: Outcome, unknown: Mapping[str, tuple[str, ...]]) -> list[Diagnostic]:
    findings = []
    for path, needs in unknown.items():
        findings.append(NEEDS(f"`{path}` depends on {', '.join(needs)}", hint=flags(needs), key=path))
    undecided: dict[tuple[str, ...], dict[str, None]] = {}
    for maybe in outcome.maybe:
        undecided.setdefault(tuple(sorted(maybe.needs)), {})[maybe.rule.code] = None
    for needs, codes in undecided.items():
        checks = "a check" if len(codes) == 1 else f"{len(codes)} checks"
        message = f"{checks} of the framework may stop the run ({', '.join(codes)})"
        findings.append(MAY_REFUSE(f"{message}: depends on {', '.join(needs)}", hint=flags(needs)))
    if outcome.refused:
        rule = outcome.refused.rule
        findings.append(
            REFUSED(
                f"{found.framework.title} stops with {outcome.refused.type}: {outcome.refused.message} "
                f"({rule.code})",
                hint=rule.hint or rule.why,
                key=outcome.refused.fields[0] if outcome.refused.fields else None,
            )
        )
    elif outcome.config is None:
        findings.append(
            NOT_USED(
                "this run never calls deepspeed.initialize: it trains without DeepSpeed",
                hint="Give a DeepSpeed config, if that was meant.",
            )
        )
    return findings


def flags(needs: Sequence[str]) -> str:
    """How to say the missing facts."""
    own = {"world_size": "--world-size N", "num_training_steps": "--num-training-steps N"}
    model = "--model PATH, the model's folder or config.json"
    own |= {"bf16_supported": "--bf16 or --no-bf16", "hidden_size": model, "model": model}
    own |= {"model.hidden_size": f"{model} (or --fact hidden_size=N)"}
    return "Say it with " + ", ".join(own.get(name, f"--fact {name}=VALUE") for name in needs) + "."


def _batch(outcome: Outcome) -> dict[str, Any]:
    """The arithmetic as it really is, and the global batch that DeepSpeed will report."""
    made = outcome.trees.get("made") or {}
    true = outcome.trees.get("batch") or {}

    def number(value: Any) -> Any:
        plain = isinstance(value, int | float) and not isinstance(value, bool)
        return value if plain else None  # "auto" that nobody filled is no number

    return {
        "micro_per_gpu": number(lookup(made, "train_micro_batch_size_per_gpu")),
        "accumulation": number(lookup(made, "gradient_accumulation_steps")),
        "data_parallel": number(lookup(true, "data_parallel")),
        "global": number(lookup(true, "global")),
        "reported_by_deepspeed": number(lookup(made, "train_batch_size")),
    }


def strict(value: Any) -> Any:
    """The value as strict JSON can say it: Infinity is a text, UNSET and Unknown are null."""
    if value is UNSET or isinstance(value, Unknown):
        return None
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value


def defaults(explanation: Explanation) -> list[Story]:
    """DeepSpeed's own defaults: what the engine has and nobody asked for."""
    told = {story.path for story in explanation.fields}
    if explanation.config is None:
        return []
    every = {**engine_defaults(explanation), **engine_values(explanation.result)}
    return [Story(path, value, UNSET, None, DEFAULT, ()) for path, value in every.items() if path not in told]


def engine_defaults(explanation: Explanation) -> dict[str, Any]:
    """Every field of the blocks that the version reads by a class, by DeepSpeed's own key."""
    from dsbridge.deepspeed.blocks import Blocks

    blocks = Blocks(explanation.versions.get("deepspeed", ""))
    found: dict[str, Any] = {}
    for name in ("zero_optimization", "fp16", "bf16"):
        given = lookup(explanation.engine or {}, name)
        made = blocks.values(name, given if isinstance(given, Mapping) else {})
        read = blocks.class_of(name)
        alias = {row["name"]: row.get("alias") or row["name"] for row in (read[0] if read else ())}
        for key, value in (made or {}).items():
            found |= flat(value, f"{name}.{alias.get(key, key)}")
    return found


def to_json(explanation: Explanation, *, everything: bool = False) -> dict[str, Any]:
    """The shape that the CLI contract fixes; with `everything`, DeepSpeed's defaults too."""
    more = defaults(explanation) if everything else []
    return {
        "framework": explanation.framework,
        "versions": dict(explanation.versions),
        "world_size": strict(explanation.facts.get("world_size", UNSET)),
        "outcome": explanation.outcome,
        "error": explanation.error,
        "config": strict(explanation.config),
        "unknown": {path: list(needs) for path, needs in explanation.unknown.items()},
        "fields": [_story_json(story) for story in (*explanation.fields, *more)],
        "batch": strict(explanation.batch),
        "diagnostics": [finding.to_json() for finding in explanation.diagnostics],
    }


def _story_json(story: Story) -> dict[str, Any]:
    source = story.source
    where = None
    if source is not None:
        where = {"file": source.file, "line": source.line, "key": story.path}
    return {
        "path": story.path,
        "value": strict(story.value),
        "requested": strict(story.requested),
        "source": where,
        "status": "filled" if story.status == DEFAULT else story.status,
        "steps": [
            {
                "code": step.rule.code,
                "phase": step.phase.name.lower(),
                "loudness": Loudness(step.rule.loudness).name.lower(),
                "before": strict(step.before),
                "after": strict(step.after),
            }
            for step in story.steps
        ],
    }
