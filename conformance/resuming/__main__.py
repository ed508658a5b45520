"""Save and resume with real engines, with the Python of the environment they are installed in.

python -m conformance.resuming --env hf                  # every case again, compared with the recording
python -m conformance.resuming --env hf --case z2-       # those whose id contains this
python -m conformance.resuming --env hf --write          # stored
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import runpy
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from conformance.planner.__main__ import warm
from conformance.planner.ranks import run_all
from conformance.resuming import recording
from conformance.resuming.cases import SAVED, cases, setup
from conformance.resuming.stripped import pack

PACKAGES = ("deepspeed", "torch", "transformers")
CHILD = "conformance.resuming.child"


def store_of(root: Path, saved: str, convert: str) -> Path:
    """Where a checkpoint lies; a converted one is a copy beside it."""
    return root / (f"{saved}.{convert.replace(' ', '-')}" if convert else saved)


def save(root: Path, names: Iterable[str], logs: Path | None) -> dict[str, Any]:
    """Each checkpoint, written by a real run; what came of it by name."""
    jobs = []
    for name in names:
        folder = root / name
        folder.mkdir(parents=True)
        plan = setup(SAVED[name])
        jobs.append(
            {
                "id": name,
                "child": CHILD,
                "world": plan["world"],
                "act": "save",
                "plan": plan,
                "store": str(folder),
            }
        )
    return {case["id"]: seen for case, seen in run_all(jobs, 1, logs)}


def converted(root: Path, saved: str, convert: str) -> dict[str, str] | None:
    """The checkpoint after DeepSpeed's own conversion; its error, if it fails."""
    folder = store_of(root, saved, convert)
    shutil.copytree(root / saved, folder)
    tag = (folder / "checkpoint" / "latest").read_text(encoding="utf-8")
    words = universal_words(tag, inject="inject" in convert)
    if convert == "fp32":
        words = ["zero_to_fp32.py", ".", "../fp32"]
    return forked(words, folder / "checkpoint")


def forked(words: list[str], folder: Path) -> dict[str, str] | None:
    """What `python WORDS` does, in a fork that has imported all it needs; its error, if it fails."""
    told = folder / "convert.error"
    pid = os.fork()
    if pid == 0:
        try:
            os.chdir(folder)
            log = os.open(os.devnull, os.O_WRONLY)
            os.dup2(log, 1)
            os.dup2(log, 2)
            sys.argv = words[1:] if words[0] == "-m" else words
            if words[0] == "-m":
                runpy.run_module(words[1], run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(words[0], run_name="__main__")
        except Exception as error:
            told.write_text(
                json.dumps({"type": type(error).__name__, "message": str(error)[:300]}), encoding="utf-8"
            )
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    if not told.is_file():
        return None
    problem: dict[str, str] = json.loads(told.read_text(encoding="utf-8"))
    told.unlink()
    return problem


def universal_words(tag: str, *, inject: bool) -> list[str]:
    """The command as the hint of `check --resume` has it, run in the checkpoint's folder."""
    words = ["-m", "deepspeed.checkpoint.ds_to_universal"]
    words += ["--input_folder", tag, "--output_folder", f"{tag}_universal"]
    return [*words, "--inject_missing_state"] if inject else words


def resume(
    root: Path, rows: list[dict[str, Any]], logs: Path | None
) -> Iterable[tuple[dict[str, Any], dict[str, Any]]]:
    """Each resumption and what came of it."""
    jobs, failed = [], dict[str, Any]()
    for row in rows:
        store = store_of(root, row["saved"], row.get("convert", ""))
        if row.get("convert") and not store.exists():
            failed[str(store)] = converted(root, row["saved"], row["convert"])
        if failed.get(str(store)):
            yield row, {"convert": failed[str(store)]}
            continue
        if row.get("gone"):
            store = shutil.copytree(store, root / row["id"])
            for path in [
                *(store / "checkpoint").glob(row["gone"]),
                *(store / "checkpoint").glob(f"*/{row['gone']}"),
            ]:
                path.unlink()
        truth = root / row["saved"] / "truth.pt"
        was = setup(SAVED[row["saved"]])
        job = {"id": row["id"], "row": row, "child": CHILD, "world": row["plan"]["world"], "act": "resume"}
        job |= {"plan": row["plan"], "was": was, "how": row.get("how", "")}
        jobs.append({**job, "store": str(store), "truth": str(truth)})
    for job, seen in run_all(jobs, 1, logs):
        yield job["row"], seen


def main() -> int:
    """Run, compare or store."""
    parser = argparse.ArgumentParser(description="Save and resume with real engines.")
    parser.add_argument("--env", required=True)
    parser.add_argument("--case", default="", help="only cases whose id contains this")
    parser.add_argument("--write", action="store_true", help="store what is seen instead of comparing")
    parser.add_argument("--logs", type=Path, help="keep what each rank printed")
    parser.add_argument("--keep", type=Path, help="leave the checkpoints here")
    options = parser.parse_args()
    warm()
    rows = [row for row in cases() if options.case in row["id"]]
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    root = options.keep or Path(tempfile.mkdtemp(prefix="resuming-"))
    names = dict.fromkeys(row["saved"] for row in rows)
    made = save(root, names, options.logs)
    recorded, differ = recording.read(options.env), 0
    if options.write and not options.case:
        recorded = {}  # what is no case any more goes
    for name, seen in made.items():
        if "error" in seen:
            print(f"{name}: not saved: {seen['error']}", flush=True)
    good = [row for row in rows if "error" not in made[row["saved"]]]
    for row, seen in resume(root, good, options.logs):
        line = recording.line(row, seen, versions, root)
        problem = recording.told(recorded.get(row["id"]), line)
        differ += bool(problem)
        print(f"{row['id']}: {recording.summary(line)}{'' if options.write else problem}", flush=True)
        recorded[row["id"]] = line
    if options.write:
        recording.write(options.env, recorded)
        if not options.case:
            stores = {store_of(root, row["saved"], row.get("convert", "")) for row in good}
            pack(
                {store.name: store / "checkpoint" for store in stores},
                recording.RECORDED / f"{options.env}.tar.xz",
            )
    if not options.keep:
        shutil.rmtree(root)
    # an old release cannot save every case; what is recorded was saved once
    lost = [row for row in rows if row not in good and row["id"] in recorded]
    print(f"{len(good) - differ} of {len(good) + len(lost)} as recorded", flush=True)
    return 0 if options.write or (good and not lost and not differ) else 1


if __name__ == "__main__":
    sys.exit(main())
