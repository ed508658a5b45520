"""One case in one forked process: set the stage, run the command, tell what happened."""

from __future__ import annotations

import os
import re
import sys
import traceback
from pathlib import Path
from typing import Any

from conformance.oracle import fake, launching, spy
from conformance.oracle.case import Case, Observation

KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "PYTHONPATH", "LD_LIBRARY_PATH")
OURS = {
    "DS_ACCELERATOR": "cpu",
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "TORCH_EXTENSIONS_DIR": str(Path(sys.prefix) / "torch_extensions"),
    "DISABLE_VERSION_CHECK": "0",
    "CONFORMANCE_RECORD": os.devnull,
}
FRAMEWORKS = (
    "accelerate",
    "transformers",
    "deepspeed",
    "llamafactory",
    "xtuner",
    "mmengine",
    "pydantic",
    "torch",
    "trl",
    "peft",
)
LONGEST = 3000


def prepare(case: Case, folder: Path, tiny: Path) -> None:
    """Files, environment and GPUs of the case; the tiny model and data beside the files."""
    for name, text in case["files"].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for name in ("model", "data"):
        if not (folder / name).exists():
            (folder / name).symlink_to(tiny / name)
    os.chdir(folder)
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    os.environ.clear()
    os.environ.update({**kept, **OURS, "HF_HOME": str(tiny / "hf"), **case["environ"]})
    launching.WORLD["size"] = case["world_size"]
    fake.fake_process_group()
    fake.abilities(case["gpu"], case["world_size"])
    launching.install()
    spy.install()


def observe(case: Case, folder: Path, tiny: Path) -> Observation:
    """Run the command to `deepspeed.initialize` and say what was seen."""
    error: dict[str, Any] | None = None
    try:
        prepare(case, folder, tiny)
        launching.run(case["command"])
    except spy.Stop:
        pass
    except launching.Bad:
        raise
    except SystemExit as end:
        if end.code not in (0, None):
            error = {"type": "SystemExit", "message": str(end.code), "at": at(end)}
    except BaseException as problem:  # whatever the framework raises is what we came for
        traceback.print_exc()
        error = {"type": type(problem).__name__, "message": clean(str(problem), folder), "at": at(problem)}
    if error:
        error["stage"] = spy.SEEN.stage
    outcome = "error" if error else ("initialized" if spy.SEEN.engine else "unused")
    return {"outcome": outcome, "error": error, "config": spy.SEEN.config, "engine": spy.SEEN.engine}


def clean(text: str, folder: Path) -> str:
    """Without this machine's paths."""
    text = text.replace(str(folder.resolve()), "<case>").replace(str(folder), "<case>")
    text = text.replace(sys.prefix, "<env>")
    text = re.sub(r"0x[0-9a-f]{8,}", "0x…", text)
    return text[:LONGEST]


def at(problem: BaseException) -> str | None:
    """The innermost line inside one of the frameworks, as package/file.py:line."""
    place = None
    for frame in traceback.extract_tb(problem.__traceback__):
        _, found, inside = frame.filename.partition("site-packages/")
        if found and inside.split("/")[0] in FRAMEWORKS:
            place = f"{inside}:{frame.lineno}"
    return place
