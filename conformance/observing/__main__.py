"""Real runs under `dsbridge observe`: `python -m conformance.observing --env hf`, see `cases.py`.

Each run must end as its case says, must end so without `observe` as well (where it is small), must leave no
process behind, and what it reports must be what was recorded. Where the case says so, its config must be the
one that `dsbridge explain -- CMD` predicts.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from conformance import cases as examples
from conformance import recording
from conformance.observing.cases import EXAMPLE, PORT, TRAINED, Case, cases
from conformance.observing.running import Outcome, launched_words, left_behind, observed, plain, predicted
from conformance.run import CannotRender, prepare, render
from dsbridge.trees import flat

HERE = Path(__file__).parent
# accelerate_train.py makes one of two optimizers, as its config has one or not
OPEN = {"zero_allow_untested_optimizer"}
# what another spec asks for that these runs do not do
OTHER: dict[str, Any] = {"zero": {"stage": 3}, "gradient_clipping": 0.5}


def lay_out(case: Case, work: Path) -> tuple[Path, list[str]]:
    """A folder with the rendered files, the spec and another one beside them; and the command's words."""
    for script in (HERE / "scripts").glob("*.py"):
        shutil.copy(script, work / script.name)
    if not case.target:
        folder = work / case.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder, list(case.words)
    spec = examples.read_spec(examples.ROOT / "examples" / EXAMPLE / "dsbridge.yaml")
    example = examples.Case(EXAMPLE, case.target, "", spec)
    sets = [text for text in examples.sets(example) if "master_port" not in text]
    sets.append(f"launch.master_port={PORT}")
    rendered = render(example, work, sets)
    if rendered is None or rendered["code"] != 0:
        raise CannotRender(f"{EXAMPLE} for {case.target}")
    folder = rendered["folder"]
    for name, changes in (("dsbridge.yaml", {}), ("other.yaml", OTHER)):
        text = yaml.safe_dump(changed(spec, sets, changes), sort_keys=False)
        (folder / name).write_text(text, encoding="utf-8")
    return folder, list(case.words) or launched_words(rendered["launch"])


def changed(spec: dict[str, Any], sets: list[str], changes: dict[str, Any]) -> dict[str, Any]:
    """The spec with what was set for this machine, and with a section's keys changed."""
    made: dict[str, Any] = json.loads(json.dumps(spec))
    for text in sets:
        path, _, value = text.partition("=")
        *parents, last = path.split(".")
        block = made
        for parent in parents:
            block = block.setdefault(parent, {})
        block[last] = yaml.safe_load(value)
    for name, value in changes.items():
        made[name] = {**made[name], **value} if isinstance(value, dict) else value
    return made


def problems(case: Case, seen: Outcome, folder: Path, words: list[str], work: Path, alone: bool) -> list[str]:
    """Everything that is not as the case says. alone: also run it without `observe`."""
    found, said = [], case.expected
    report = seen.report
    if report is None:
        return [f"no report: exit code {seen.code}\n{seen.log[-3000:]}"]
    real = {
        "outcome": report["outcome"],
        "code": report["exit_code"],
        "calls": len(report["calls"]),
        "signal": report["signal"],
        "when": (report["error"] or {}).get("when"),
        "why": (report["reason"] or {}).get("why"),
        "stopped": report["stopped"],
        "differences": tuple(entry["path"] for entry in report["differences"]),
    }
    wanted = {**said._asdict(), "code": 0 if said.differences and said.stopped else said.code}
    found += [
        f"{name}: {value!r}, not {wanted[name]!r}" for name, value in real.items() if value != wanted[name]
    ]
    code = -15 if said.signal else said.code
    if seen.code != code:
        found.append(f"observe itself ended with {seen.code}, not {code}")
    if trained(folder) and not case.trains:
        found.append(f"it trained: {trained(folder)}")
    if (
        case.trains and case.target not in ("", "accelerate") and not trained(folder)
    ):  # that script saves nothing
        found.append("it did not train")
    found += [f"left behind: {line}" for line in left_behind(folder)]
    if alone and not case.target and not said.stopped:
        code = plain(case, words, folder, work)
        if code != seen.code:
            found.append(f"without observe the exit code is {code}")
    if case.predicted:
        found += unlike(predicted(words, folder, work), report["calls"][0]["config"])
    return found


def trained(folder: Path) -> list[str]:
    """What training leaves: the probe's marks, or weights."""
    marks = [name for name in TRAINED if (folder / name).exists()]
    weights = [path for path in (folder / "out").rglob("*") if path.suffix in (".safetensors", ".pt", ".pth")]
    return marks + sorted({path.name for path in weights})


def unlike(said: dict[str, Any], real: dict[str, Any]) -> list[str]:
    """Where the config is not the predicted one; only what the script leaves open may be unknown."""
    if set(said["unknown"]) - OPEN:
        return [f"explain does not know {sorted(set(said['unknown']) - OPEN)}"]
    a, b = ({path: v for path, v in flat(config).items() if path not in OPEN & set(said["unknown"])}
            for config in (said["config"], real))  # fmt: skip
    return (
        []
        if json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
        else [f"explain predicts {json.dumps(a)}\nand it is {json.dumps(b)}"]
    )


def portable(report: dict[str, Any], work: Path) -> Any:
    """Without what differs from run to run: process ids, seconds. Of a model's config its width is kept."""
    made = {name: value for name, value in report.items() if name != "seconds"}
    made["calls"] = []
    for call in sorted(report["calls"], key=lambda call: call["rank"]):
        model = call["model"] or {}
        size = (model.get("config") or {}).get("hidden_size")
        short = {"class": model.get("class"), "hidden_size": size} if model else None
        made["calls"].append({**{k: v for k, v in call.items() if k != "pid"}, "model": short})
    return recording.portable(made, work)


def check(env: str, case: Case, options: argparse.Namespace) -> bool:
    """Run one case; True when all is as it should be."""
    start = time.monotonic()
    folder, words = lay_out(case, options.work)
    seen = observed(case, words, folder, options.work)
    found = problems(case, seen, folder, words, options.work, not options.quick)
    made = {"case": case.name, "versions": recording.versions(env), "report": None}
    if seen.report:
        made["report"] = portable(seen.report, options.work)
    short = "_".join(f"{name}-{recording.version(name)}" for name in examples.PACKAGES[env])
    path = recording.FOLDER / "observed" / env / short / f"{case.name}.json"
    if options.write and not found:
        recording.write(path, made)
    elif not options.write and (difference := recording.differences(path, made)):
        found.append(difference)
    print(f"{'ok' if not found else 'WRONG':6} {case.name}  {time.monotonic() - start:.0f} s", flush=True)
    for line in found:
        print(f"  {line}", flush=True)
    return not found


def main() -> int:
    """Exit code 1 if any run is not as it should be."""
    parser = argparse.ArgumentParser(description="Observe real runs.")
    parser.add_argument("--env", required=True, choices=sorted(examples.TARGETS))
    parser.add_argument("--write", action="store_true", help="store what is seen, do not compare")
    parser.add_argument("--quick", action="store_true", help="a few of each kind")
    parser.add_argument("--only", action="append", default=[], metavar="CASE")
    parser.add_argument("--work", type=Path, default=Path(sys.prefix) / "observing-work")
    options = parser.parse_args()
    options.work = options.work.resolve()
    prepare(options.work)
    chosen = [c for c in cases(options.env) if not options.only or c.name in options.only]
    chosen = [case for case in chosen if case.quick or not options.quick]
    right = [check(options.env, case, options) for case in chosen]
    print(f"{sum(right)} of {len(right)} as they should be")
    return 0 if right and all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
