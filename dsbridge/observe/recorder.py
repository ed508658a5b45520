"""Keep what every `deepspeed.initialize` of this process got and what came of it, in the report folder.

A call is one file, written before the call and again after it, so that a crash or a kill leaves what is
known. Nothing here may break the program: what goes wrong is noted in the report. Loaded by path inside
observed programs, whose Python may be 3.9: the standard library alone.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

LONGEST = 3000  # characters of an error message

Call = dict[str, Any]
_MADE: dict[str, Recorder] = {}


def recorder(folder: str, calls: ModuleType, engine: ModuleType) -> Recorder:
    """The one recorder of this process and folder."""
    if folder not in _MADE:
        _MADE[folder] = Recorder(folder, calls, engine)
    return _MADE[folder]


class Recorder:
    """Writes into one folder. calls, engine: the modules of those names, however they were loaded."""

    def __init__(self, folder: str, calls: ModuleType, engine: ModuleType) -> None:
        self.folder, self.calls, self.engine = folder, calls, engine
        with open(os.path.join(folder, "asked.json"), encoding="utf-8") as file:
            self.asked = json.load(file)
        self.inside = threading.local()
        self.ours: list[str] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), "")]

    def watch(self, deepspeed: Any) -> None:
        """Wrap `deepspeed.initialize`. Other modules can only have taken it from here."""
        self.save(f"deepspeed-{os.getpid()}.json", {"rank": self.calls.ranks()[0]})
        self.ours.append(os.path.join(os.path.dirname(deepspeed.__file__), ""))
        real = deepspeed.initialize
        if not hasattr(real, "_dsbridge_observed"):
            deepspeed.initialize = self.wrapped(real, lambda result: result[0])
            for module in list(sys.modules.values()):  # who imports it by name while deepspeed is imported
                if isinstance(module, ModuleType) and vars(module).get("initialize") is real:
                    module.initialize = deepspeed.initialize  # type: ignore[attr-defined]

    def constructor(self, module: Any) -> None:
        """Wrap the engine's constructor, for who builds one without `deepspeed.initialize`."""
        self.ours.append(os.path.join(os.path.dirname(os.path.dirname(module.__file__)), ""))
        kind = module.DeepSpeedEngine
        if not hasattr(kind.__init__, "_dsbridge_observed"):
            kind.__init__ = self.wrapped(kind.__init__, None)

    def wrapped(self, real: Callable[..., Any], engine_in: Callable[[Any], Any] | None) -> Callable[..., Any]:
        """The function, with what it got and what came of it kept. engine_in: where the result has it."""

        @functools.wraps(real)
        def initialize(*args: Any, **kwargs: Any) -> Any:
            if getattr(self.inside, "call", None) is not None:  # an engine that `initialize` builds
                return real(*args, **kwargs)
            self.inside.call = call = self.guarded(self.begun, real, args, kwargs) or {}
            try:
                result = real(*args, **kwargs)
            except BaseException as problem:
                self.guarded(self.failed, call, problem)
                raise
            finally:
                self.inside.call = None
            self.guarded(self.done, call, lambda: engine_in(result) if engine_in else args[0])
            return result

        initialize._dsbridge_observed = True  # type: ignore[attr-defined]
        return initialize

    def begun(self, real: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """What is known before the call; of a rank that nobody asked about, only that it calls."""
        rank, world = self.calls.ranks()
        at = self.calls.place(sys._getframe(1), self.ours)
        call: Call = {"rank": rank, "world_size": world, "pid": os.getpid(), "at": at, "outcome": "running"}
        call["file"] = f"call-{time.time_ns()}-{os.getpid()}.json"
        if self.wanted(rank):
            given = self.calls.bound(real, args, kwargs)
            config, name = self.calls.config_of(given)
            call |= {"config": self.engine.strict(config), "config_file": name, "engine": None, "error": None}
            call |= {"versions": self.calls.versions(), "model": None}
            self.keep(call)
            model = self.guarded(self.calls.model_of, given.get("model"))
            call["model"] = self.engine.strict(model)
        self.keep(call)
        return call

    def failed(self, call: Call, problem: BaseException) -> None:
        """It raised inside."""
        rank, world = self.calls.ranks()
        call |= {"outcome": "error", "rank": rank, "world_size": world, "error": self.told(problem)}
        self.keep(call)

    def done(self, call: Call, given: Callable[[], Any]) -> None:
        """It gave an engine; the process group is there by now, whatever the launcher said."""
        engine = given()
        rank, world = self.calls.ranks()
        call |= {"outcome": "initialized", "rank": rank or 0, "world_size": world or 1}
        trains = self.guarded(self.trains, call, engine)
        if self.wanted(rank):
            call |= {"engine": self.guarded(self.engine.describe, engine), "trains": trains}
        self.keep(call)
        if trains and self.asked["stop"]:
            self.stop()

    def trains(self, call: Call, engine: Any) -> bool:
        """False for a reference model, which TRL puts through `initialize` too and which has no optimizer."""
        reference = str(call.get("at")).startswith("trl/")
        return getattr(engine, "basic_optimizer", None) is not None and not reference

    def wanted(self, rank: int | None) -> bool:
        return bool(self.asked["ranks"] == "all" or not rank)

    def stop(self) -> None:
        """End this rank once all have come as far: one that left early would be taken for a crash."""
        import multiprocessing

        self.guarded(self.meet)
        self.guarded(self.save, f"stopped-{os.getpid()}.json", {})
        for child in multiprocessing.active_children():
            child.terminate()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(0)  # neither the program's clean-up nor gloo's threads have anything left to do

    def meet(self) -> None:
        group = sys.modules["torch"].distributed
        if group.is_available() and group.is_initialized() and group.get_world_size() > 1:
            group.barrier()

    def ended(self, problem: BaseException) -> None:
        """An exception that nobody caught has ended the interpreter."""
        rank, world = self.calls.ranks()
        made = {**self.told(problem), "rank": rank, "world_size": world, "pid": os.getpid()}
        self.save(f"error-{time.time_ns()}-{os.getpid()}.json", made)

    def told(self, problem: BaseException) -> dict[str, Any]:
        at = self.calls.raised_at(problem)
        return {"type": type(problem).__name__, "message": str(problem)[:LONGEST], "at": at}

    def keep(self, call: Call) -> None:
        if call:
            self.save(call["file"], call)

    def save(self, name: str, made: Any) -> None:
        """Write in one go: a reader sees the old file or the new one."""
        path = os.path.join(self.folder, name)
        with open(path + ".part", "w", encoding="utf-8") as file:
            json.dump(made, file, allow_nan=False)
        os.replace(path + ".part", path)

    def guarded(self, function: Callable[..., Any], *args: Any) -> Any:
        """What the function gives, or None and a note in the report."""
        try:
            return function(*args)
        except Exception as problem:
            try:
                self.save(f"note-{time.time_ns()}-{os.getpid()}.json", self.told(problem))
            except Exception:
                return None
            return None
