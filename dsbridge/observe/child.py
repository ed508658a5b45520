"""Run one command in this process and say what happened. `python -m dsbridge.observe.child ASK ANSWER`.

ASK is a JSON file: {"command": [words], "environ": {...}, "world_size": n, "gpu": {"bf16": bool, "fp16":
bool}, "stand_in": bool}. ANSWER gets the observation: {"outcome": "initialized" | "error" | "unused",
"error": {"type", "message", "stage", "at"} | null, "config": {...} | null, "engine": {...} | null}.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import re
import sys
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dsbridge.observe import after_import, cpu, fake, launching, spy

# Imported before anything is replaced, because frameworks import each other's questions by name.
PRELOAD = (
    "torch",
    "torch.distributed.run",
    "torch.testing._internal.distributed.fake_pg",
    "accelerate",
    "accelerate.commands.launch",
    "accelerate.utils.deepspeed",
    "transformers",
    "transformers.trainer",
    "transformers.integrations.deepspeed",
    "transformers.models.qwen2.modeling_qwen2",
    "transformers.models.llama.modeling_llama",
    "transformers.models.auto.modeling_auto",
    "deepspeed",
    "deepspeed.launcher.runner",
    "deepspeed.launcher.launch",
    "deepspeed.ops.adam",
    "peft",
    "llamafactory.v1.accelerator.helper",  # its own count of the GPUs; from 0.9.4 on
)
EXTRA = {
    "llamafactory": ("llamafactory.train.tuner", "llamafactory.cli", "llamafactory.launcher"),
    "xtuner": ("mmengine", "xtuner.entry_point", "xtuner.tools.train"),
    "trl": ("datasets", "trl.trainer.sft_trainer", "trl.trainer.dpo_trainer", "trl.trainer.grpo_trainer"),
}
# No GPU is used, whatever the machine has: the answers about GPUs come from the request.
ENVIRONMENT = {
    "DS_ACCELERATOR": "cpu",
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "TORCH_EXTENSIONS_DIR": str(Path(sys.prefix) / "torch_extensions"),
}
FRAMEWORKS = (
    *("accelerate", "transformers", "deepspeed", "llamafactory", "xtuner", "mmengine", "pydantic", "torch"),
    *("trl", "peft"),
)
LONGEST = 3000


def preload(framework: str) -> None:
    """Import everything once, with what a CPU lacks put in its place."""
    os.environ |= ENVIRONMENT
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    after_import.install(cpu.HOOKS)
    extra = next((names for key, names in EXTRA.items() if framework.startswith(key)), ())
    for name in (*PRELOAD, *extra):
        try:
            importlib.import_module(name)
        except ImportError as error:
            if name in extra:
                raise
            print(f"not preloaded: {name}: {error}", file=sys.stderr)
    gc.freeze()  # DeepSpeed collects garbage while it builds; all these modules are none


def replace(world_size: int, gpu: Mapping[str, bool]) -> None:
    """A world and GPUs as the request says, and the spy."""
    launching.WORLD["size"] = world_size
    fake.fake_process_group()
    fake.abilities(dict(gpu), world_size)
    launching.install()
    spy.install()


def observe(command: Iterable[str], folder: Path) -> dict[str, Any]:
    """Run the command to `deepspeed.initialize` and say what was seen. `replace` comes first."""
    error: dict[str, Any] | None = None
    try:
        launching.run(list(command))
    except (spy.Stop, KeyboardInterrupt):
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


def main() -> None:
    """Answer one request."""
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    answer = Path(sys.argv[2]).resolve()
    preload(asked["framework"])
    os.environ.update(asked["environ"])
    if asked.get("stand_in"):
        from dsbridge.observe import stand_in

        stand_in.install()
    replace(asked["world_size"], asked["gpu"])
    seen = observe(asked["command"], Path.cwd())
    answer.write_text(json.dumps(seen, allow_nan=False), encoding="utf-8")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # no framework's exit handler has anything left to do


if __name__ == "__main__":
    main()
