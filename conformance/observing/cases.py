"""What is run under `observe` in each environment, and how each run must end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

# not that of the other sessions, so that none waits for the other
PORT = 29877
TORCHRUN = ("torchrun", "--nproc_per_node", "2", "--master_addr", "127.0.0.1", "--master_port", str(PORT))
EXAMPLE = "zero2-lora"
# what the run must not have done, and must have done, by the files that the probe leaves
TRAINED = ("trained-0", "trained-1")


class Expected(NamedTuple):
    """How it ends. calls: how many are reported. when: of the error that ended it. why: of no call."""

    outcome: str = "initialized"
    code: int | None = 0
    calls: int = 1
    signal: str | None = None
    when: str | None = None
    why: str | None = None
    stopped: bool = False
    differences: tuple[str, ...] = ()


class Case(NamedTuple):
    """One run. target: its files are rendered from the example for that framework, whose launch it is.

    words: the command, where it is not the rendered one. kill: the signal that is sent to `observe` once both
    ranks train. quick: run by .ci/run. against: a spec file beside the rendered ones, or the word `command`.
    predicted: its config must be what `explain -- CMD` says.
    """

    name: str
    expected: Expected
    target: str = ""
    words: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    kill: str = ""
    quick: bool = False
    predicted: bool = False
    trains: bool = True


def probe(mode: str) -> tuple[str, ...]:
    return (*TORCHRUN, "../probe.py", mode)


CLIPPED = Expected(code=1, differences=("gradient_clipping",))
AGAINST = ("--against", "dsbridge.yaml")
OTHER = ("--against", "other.yaml")
OTHERS = Expected(code=1, differences=("zero_optimization.stage", "gradient_clipping"))
STOPPED = Expected(stopped=True)


def _hf() -> Iterator[Case]:
    yield Case("accelerate-all-ranks", Expected(calls=2), "accelerate", options=("--ranks", "all"),
               predicted=True, quick=True)  # fmt: skip
    yield Case("accelerate-stop", STOPPED, "accelerate", options=("--stop",), trains=False, quick=True)
    yield Case("trainer-agrees", Expected(), "trainer", options=AGAINST, predicted=True)
    yield Case("trainer-other-spec", OTHERS._replace(stopped=True), "trainer", options=(*OTHER, "--stop"),
               trains=False, quick=True)  # fmt: skip
    words = (*TORCHRUN, "../given_in_code.py")
    yield Case("trainer-set-in-code", CLIPPED._replace(stopped=True), "trainer", words,
               options=(*AGAINST, "--stop"), trains=False)  # fmt: skip
    words = ("deepspeed", "--num_gpus", "2", "--master_port", str(PORT), "../probe.py", "train")
    yield Case("deepspeed-launcher", Expected(calls=2), words=words, options=("--ranks", "all"))
    yield from _going_wrong()
    yield from _started_otherwise()


def _going_wrong() -> Iterator[Case]:
    unused = Expected("unused", 1, 0, when="before", why="never-imported")
    yield Case("crash-before", unused, words=probe("before"), trains=False)
    inside = Expected("error", 1, when="inside")
    yield Case("crash-inside", inside, words=probe("inside"), trains=False, quick=True)
    yield Case("crash-after", Expected(code=1, when="after"), words=probe("after"), trains=False)
    never = Expected("unused", 0, 0, why="never-imported")
    yield Case("never", never, words=probe("never"), trains=False)
    imported = ("python", "../probe.py", "imported")
    yield Case("imported", never._replace(why="never-called"), words=imported, trains=False)
    isolated = ("python", "-I", "../probe.py", "imported")
    yield Case("isolated", never._replace(why="kept-out"), words=isolated, trains=False)
    yield Case(
        "sigterm-torchrun", Expected(code=1, when="after"), words=probe("loop"), kill="SIGTERM", quick=True
    )
    alone = ("python", "../probe.py", "loop")
    words = ("RANK=0", "LOCAL_RANK=0", "WORLD_SIZE=1", "MASTER_ADDR=127.0.0.1", f"MASTER_PORT={PORT}", *alone)
    killed = Expected(code=None, signal="SIGTERM")
    yield Case("sigterm-python", killed, words=words, kill="SIGTERM")


def _started_otherwise() -> Iterator[Case]:
    for method in ("spawn", "fork"):
        words = (f"MASTER_PORT={PORT}", "python", "../workers.py", method)
        yield Case(method, Expected(calls=2), words=words, options=("--ranks", "all"))
        yield Case(f"{method}-stop", STOPPED, words=words, options=("--stop",), trains=False)


def _framework(name: str) -> Iterator[Case]:
    yield Case(name, Expected(), name, options=AGAINST, predicted=True)
    yield Case(f"{name}-stop", OTHERS._replace(stopped=True), name, options=(*OTHER, "--stop"), trains=False)


def cases(env: str) -> list[Case]:
    """All of one environment."""
    return list(_hf()) if env == "hf" else list(_framework(env))
