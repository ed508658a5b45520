"""Which keys a DeepSpeed release reads, found by handing its own readers a dict that remembers.

A run is one config, read by `DeepSpeedConfig` and by what reads more of it when an engine starts. A key that
is asked for is known; it is then given values of several kinds, one run each, and a run in which a new key is
asked for is followed further. So a block's own keys are found once the block is there, and the keys that only
a mode or a switch brings are found once it is on. Nothing about the keys is typed here.
"""

from __future__ import annotations

import copy
import importlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tools.tracing import ANY, MISSING, Log, Traced, join, text

BLOCK = "a block"
# What a key is tried with while looking for more keys; a text is tried as what it was compared with, too.
TEXT = "some text"
CANDIDATES: tuple[Any, ...] = (BLOCK, True, 1, TEXT, [1], 8)
BASE: dict[tuple[str, ...], Any] = {("train_batch_size",): 1}
MOST_RUNS = 20_000


State = dict[tuple[str, ...], Any]


def tree(state: State, log: Log) -> Traced:
    """The config of a state: its values at their places, every block a tracing one."""
    root = Traced("", log)
    for place, value in state.items():
        block = root
        for name in place[:-1]:
            if not isinstance(dict.get(block, name), Traced):
                block[name] = {}
            block = dict.__getitem__(block, name)
        if value is BLOCK:
            block[place[-1]] = dict.get(block, place[-1], {})
            dict.__setitem__(dict.__getitem__(block, place[-1]), ANY, Traced(".".join((*place, ANY)), log))
        else:
            path = ".".join(place)
            block[place[-1]] = text(value, path, log) if isinstance(value, str) else copy.copy(value)
    return root


def parts(value: Any, deep: int = 3) -> Iterator[Traced]:
    """The tracing blocks that a result still holds."""
    if isinstance(value, Traced):
        yield value
    elif isinstance(value, dict) and deep:
        for item in value.values():
            yield from parts(item, deep - 1)
    elif deep and hasattr(value, "__dict__") and not isinstance(value, type):
        for item in list(vars(value).values()):
            yield from parts(item, deep - 1)


def at(root: Any, *names: str) -> Any:
    """The block at a place, not as a question."""
    for name in names:
        root = dict.__getitem__(root, name)
    return root


def config_class() -> Any:
    """DeepSpeed's own reader."""
    return importlib.import_module("deepspeed.runtime.config").DeepSpeedConfig


def start_readers() -> list[Callable[[Traced], Any]]:
    """What else reads the dict when an engine starts, with the block that it is handed."""
    data = "deepspeed.runtime.data_pipeline"
    metrics = ("data_efficiency", "data_sampling", "curriculum_learning", "curriculum_metrics", ANY)

    def call(module: str, name: str, *block: str) -> Callable[[Traced], Any]:
        return lambda root: getattr(importlib.import_module(module), name)(at(root, *block))

    config = vars(importlib.import_module("deepspeed.runtime.config"))
    legacy = "curriculum_learning"
    schedulers = [
        metrics,
        *([] if legacy in config.get("_REMOVED_TOP_LEVEL_CONFIG_KEYS", {}) else [(legacy,)]),
    ]
    return [
        call("deepspeed.compile.init_sp", "extract_mesh_size"),
        *(call(f"{data}.curriculum_scheduler", "CurriculumScheduler", *block) for block in schedulers),
        call(f"{data}.data_routing.scheduler", "RandomLTDScheduler", *_LTD),
    ]


_LTD = ("data_efficiency", "data_routing", "random_ltd")


def watch_classes() -> Callable[[Log], None]:
    """Let DeepSpeed's pydantic models say of which block they were made."""
    model = importlib.import_module("deepspeed.runtime.config_utils").DeepSpeedConfigModel
    made, current = model.__init__, [Log()]

    def watched(self: Any, *given: Any, **data: Any) -> None:
        path = current[0].unpacked
        if path is not None:
            current[0].classes[path] = f"{type(self).__module__}:{type(self).__name__}"
            current[0].unpacked = None
        made(self, *given, **data)

    model.__init__ = watched
    return lambda log: current.__setitem__(0, log)


@dataclass
class Found:
    """All that the runs asked for."""

    keys: dict[tuple[str, str], Any] = field(default_factory=dict)
    compared: dict[str, set[Any]] = field(default_factory=dict)
    walked: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    classes: dict[str, str] = field(default_factory=dict)
    state: dict[str, State] = field(default_factory=dict)  # how each key was first reached
    runs: int = 0

    def add(self, log: Log) -> list[tuple[str, str]]:
        """Take a run in; the keys that it was the first to ask for."""
        fresh = [place for place in log.keys if place not in self.keys]
        for place, default in log.keys.items():
            if self.keys.get(place, MISSING) is MISSING:
                self.keys[place] = default
        for path, texts in log.compared.items():
            self.compared.setdefault(path, set()).update(texts)
        self.walked |= log.walked
        self.kept |= log.kept
        self.classes.update(log.classes)
        return fresh


class Explorer:
    """Runs configs, and follows those that ask for a new key."""

    def __init__(self) -> None:
        logging.disable(logging.CRITICAL)
        self.watch, self.readers, self.found = watch_classes(), start_readers(), Found()

    def run(self, state: State) -> tuple[Log, list[tuple[str, str]], str | None]:
        """One config, read by everything: what it asked for, what of that is new, what the parser said."""
        log, refused = Log(), None
        self.watch(log)
        self.found.runs += 1
        for reader in [config_class(), *self.readers]:
            root = tree(state, log)
            try:
                made = reader(root)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # whatever a release says to a strange value
                if reader is config_class():
                    refused = type(error).__name__
                continue
            if reader is config_class():
                held = {name: value for name, value in vars(made).items() if name != "_param_dict"}
                log.kept |= {block.path for block in parts(held) if block.path}
        return log, self.found.add(log), refused

    def explore(self) -> Found:
        """Every key that any run asks for."""
        self.follow(BASE)
        for state in list(self.filled()):
            self.follow(state)
        return self.found

    def follow(self, state: State) -> None:
        """A state, and from it every state that asks for a new key."""
        waiting = [(state, self.run(state)[1])]
        while waiting and self.found.runs < MOST_RUNS:
            state, fresh = waiting.pop(0)
            for path, key in fresh:
                place = (*(path.split(".") if path else ()), key)
                self.found.state.setdefault(".".join(place), state)
                waiting += [(after, new) for after, new in self.children(state, place) if new]

    def children(self, state: State, place: tuple[str, ...]) -> list[tuple[State, Any]]:
        """The state with one more key, of each kind, and what each asks for that was not known before."""
        before = set(self.found.keys)
        results: list[tuple[State, set[Any]]] = []
        candidates = list(CANDIDATES)
        while candidates:
            value = candidates.pop(0)
            after = {**state, place: value}
            log, _, _ = self.run(after)
            results.append((after, set(log.keys) - before))
            if value == TEXT:
                candidates += sorted(self.found.compared.get(".".join(place), ()))
        return [(after, sorted(new)) for after, new in results]

    def filled(self) -> Iterator[State]:
        """For each text that a key is compared with: that text, beside every other key of its block.

        A key that only one mode asks for, after others that all modes ask for, is found so.
        """
        for path, texts in sorted(self.found.compared.items()):
            block = path.rpartition(".")[0]
            beside = [tuple(join(*place).split(".")) for place in self.found.keys]
            beside = [place for place in beside if block and ".".join(place).startswith(f"{block}.")]
            inner = {place[:-1] for place in beside}
            rest = {place: 8 for place in beside if place not in inner}
            for value in sorted(texts):
                yield {**BASE, **rest, tuple(path.split(".")): value}
