"""The verify pass: the prediction, the installed framework's own behaviour, and how they differ."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from dsbridge.diagnostics import Code, InputError, Severity
from dsbridge.explaining import Explanation, strict, to_json
from dsbridge.trees import flat
from dsbridge.values import UNSET, Unknown

MISSING = Code("VF001", "framework-missing", Severity.ERROR, "verify needs the framework installed.")
NO_WORLD = Code("VF002", "no-world-size", Severity.ERROR, "verify needs the number of ranks.")
BROKEN = Code("VF003", "not-observed", Severity.ERROR, "The framework's run ended without an answer.")
CODES = (MISSING, NO_WORLD, BROKEN)

TIMEOUT = 600.0
NEEDED = {
    "deepspeed": ("torch", "deepspeed"),
    "accelerate": ("torch", "deepspeed", "accelerate"),
    "trainer": ("torch", "deepspeed", "accelerate", "transformers"),
    "llamafactory": ("torch", "deepspeed", "accelerate", "transformers", "llamafactory"),
    "xtuner": ("torch", "deepspeed", "transformers", "mmengine", "xtuner"),
}


class Verified(NamedTuple):
    """Prediction and observation, and every place where they differ."""

    predicted: Mapping[str, Any]
    observed: Mapping[str, Any]
    differences: tuple[Mapping[str, Any], ...]
    environment: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """The shape that the CLI contract fixes."""
        made = self._asdict()
        return {**made, "differences": list(self.differences), "environment": dict(self.environment)}


def verify(found: Explanation, folder: Path | None = None, *, keep: Path | None = None) -> Verified:
    """Run the installed framework on the explained input up to deepspeed.initialize, and compare.

    folder: where the command runs. keep: a file for what the framework printed.

    Raises:
        InputError: a package is missing, the world size is not known, or the run gave no answer.
    """
    have = _environment(found.framework)
    world = found.facts.get("world_size")
    if not isinstance(world, int):
        hint = "Say it with --world-size N."
        raise InputError([NO_WORLD("the input does not say how many ranks there are", hint=hint)])
    seen = _observed(found, world, folder or Path(), keep)
    return Verified(to_json(found), seen, tuple(compare(found, seen)), have)


def _environment(framework: str) -> dict[str, str]:
    wanted = NEEDED.get(framework, ("torch", "deepspeed"))
    have: dict[str, str] = {}
    for package in wanted:
        try:
            have[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    missing = [package for package in wanted if package not in have]
    if missing:
        message = f"verify runs the real {framework}, and this environment has no {', '.join(missing)}"
        hint = f"pip install 'dsbridge[{framework}]', in the environment you train in or in a new one"
        raise InputError([MISSING(message, hint=hint)])
    return have


def _observed(found: Explanation, world: int, folder: Path, keep: Path | None) -> dict[str, Any]:
    setup = found.input.setup
    request = {
        "framework": found.framework,
        "command": list(setup.whole),
        "environ": dict(setup.given_environ),
        "world_size": world,
        "gpu": {name: found.facts.get(f"{name}_supported") is not False for name in ("bf16", "fp16")},
        "stand_in": True,
    }
    with tempfile.TemporaryDirectory(prefix="dsbridge-verify-") as scratch:
        ask, answer = Path(scratch) / "ask.json", Path(scratch) / "answer.json"
        ask.write_text(json.dumps(request), encoding="utf-8")
        argv = [sys.executable, "-m", "dsbridge.observe.child", str(ask), str(answer)]
        try:
            ended = subprocess.run(
                argv, cwd=folder, capture_output=True, text=True, errors="replace", timeout=TIMEOUT,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            message = f"no answer after {TIMEOUT:.0f} s"
            raise InputError([BROKEN(message, hint="Is the data set large? Give a small one.")]) from None
        printed = ended.stdout + ended.stderr
        if keep:
            keep.write_text(printed, encoding="utf-8")
        if not answer.is_file():
            last = [line for line in printed.splitlines() if line.strip()][-3:]
            raise InputError(
                [BROKEN("the framework's run ended without an answer", hint="\n    ".join(last))]
            )
        seen = json.loads(answer.read_text(encoding="utf-8"))
        assert isinstance(seen, dict)
        return seen


def compare(found: Explanation, seen: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every difference, as {"path", "predicted", "observed"}. What is Unknown is not a difference."""
    outcome = "error" if found.error else ("unused" if found.config is None else "initialized")
    if outcome != seen["outcome"]:
        return [_difference("outcome", _short(found), _seen_short(seen))]
    different = _errors(found.error, seen["error"]) if found.error else []
    if seen["config"] is not None:  # also when DeepSpeed itself then stops
        different += _leaves(flat(strict(found.config) or {}), flat(seen["config"]), found.unknown)
    made = found.result.trees.get("made", {})
    for name, said in made.items() if seen["engine"] else ():
        if not isinstance(said, Unknown) and strict(said) != seen["engine"].get(name):
            different.append(_difference(f"engine.{name}", strict(said), seen["engine"].get(name)))
    return different


def _errors(said: Mapping[str, Any], seen: Mapping[str, Any]) -> list[dict[str, Any]]:
    different = []
    if said["type"] != seen["type"]:
        different.append(_difference("error.type", said["type"], seen["type"]))
    if not message_matches(said["message"], seen["message"]):
        different.append(_difference("error.message", said["message"], seen["message"]))
    return different


def message_matches(said: str, seen: str) -> bool:
    """True when the predicted message is the real one; "…" in it stands for anything."""
    pattern = ".*".join(re.escape(part) for part in " ".join(said.split()).split("…"))
    return re.fullmatch(pattern, " ".join(seen.split())) is not None


def _leaves(
    said: Mapping[str, Any], seen: Mapping[str, Any], unknown: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    different = []
    for path in dict.fromkeys([*seen, *said]):
        a, b = said.get(path, UNSET), seen.get(path, UNSET)
        # as JSON: 1 and 1.0 and true are three values
        equal = (a is UNSET) == (b is UNSET) and json.dumps(strict([a])) == json.dumps(strict([b]))
        if path and path not in unknown and not equal:
            different.append(_difference(path, strict(a), strict(b)))
    return different


def _difference(path: str, predicted: Any, observed: Any) -> dict[str, Any]:
    return {"path": path, "predicted": predicted, "observed": observed}


def _short(found: Explanation) -> str:
    if found.error:
        return f"{found.error['type']}: {found.error['message']}"
    return "DeepSpeed is not used" if found.config is None else "deepspeed.initialize is called"


def _seen_short(seen: Mapping[str, Any]) -> str:
    if seen["error"]:
        return f"{seen['error']['type']}: {seen['error']['message']} ({seen['error'].get('at')})"
    return "DeepSpeed is not used" if seen["outcome"] == "unused" else "deepspeed.initialize is called"
