"""What a host's memory holds while real ranks load a model: of their own, and of files that they map.

python -m conformance.planner.loading --env hf            # again, compared with the recording
python -m conformance.planner.loading --env hf --write    # stored

A Llama of 222 million parameters with arbitrary weights is written as safetensors (16 bits in one file and in
four, 32 bits in four) and as a pickle, and loaded by two ranks on gloo. Numbers: bytes a parameter of each.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conformance.planner import ranks
from conformance.planner.__main__ import PACKAGES, QUANTISING, quantises, warm
from dsbridge.rules import numbers

RECORDED = Path(__file__).resolve().parents[2] / "tests" / "recorded" / "planner"
CHILD = "conformance.planner.loading_child"
SHAPE = {
    "hidden_size": 1024,
    "intermediate_size": 2816,
    "num_hidden_layers": 16,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "vocab_size": 8000,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
}
SMALL = {**SHAPE, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "vocab_size": 128}
# name: sizes, dtype, size of a file at most
CHECKPOINTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "small": (SMALL, "bfloat16", "5GB"),
    "one": (SHAPE, "bfloat16", "5GB"),
    "shards": (SHAPE, "bfloat16", "120MB"),
    "fp32": (SHAPE, "float32", "240MB"),
}
NEAR = 0.15  # bytes a parameter by which a repetition may differ; seen: 0.05


def make(folder: Path) -> None:
    """Write the checkpoints."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    for name, (sizes, dtype, most) in CHECKPOINTS.items():
        with torch.device("meta"):
            model = LlamaForCausalLM(LlamaConfig(**sizes))
        model = model.to_empty(device="cpu").to(getattr(torch, dtype))
        for weight in model.parameters():
            weight.data.uniform_(-0.05, 0.05)
        model.save_pretrained(folder / name, max_shard_size=most)
        if name == "one":
            model.config.save_pretrained(folder / "bin")
            torch.save(model.state_dict(), folder / "bin" / "pytorch_model.bin")


def cases(transformers: str, loads_only: bool) -> Iterator[dict[str, Any]]:
    """What is loaded, and how; then engines of it."""
    for files in ("one", "shards", "bin"):
        yield {"id": f"plain-{files}", "files": files}
    if numbers(transformers) < (5,):
        for way in (False, True):
            yield {"id": f"low-{way}".lower(), "files": "shards", "how": {"low_cpu_mem_usage": way}}
    yield {"id": "from-fp32", "files": "fp32"}
    yield {"id": "to-fp32", "files": "shards", "dtype": "float32"}
    if loads_only:
        return
    for files in ("one", "shards", "fp32"):
        yield {"id": f"init-{files}", "files": files, "init": True, "stage": 3}
    parts = {"offload_param": {"device": "cpu"}, "offload_optimizer": {"device": "cpu"}}
    yield {"id": "init-offload", "files": "shards", "init": True, "stage": 3, "zero": parts}
    for stage in (1, 2, 3):
        yield {"id": f"z{stage}", "files": "shards", "stage": stage}
    yield {"id": "z1-full", "files": "shards", "stage": 1, "full": True}
    yield {"id": "z3-from-fp32", "files": "fp32", "stage": 3}  # weights that lie in no file are seen to go
    # transformers below 4.49 packs nothing on this CPU
    if quantises() and numbers(transformers) >= (5,):
        for files in ("one", "shards"):
            yield {"id": f"four-bit-{files}", "files": files, "four_bit": True}


def per_parameter(tree: Any, parameters: int) -> Any:
    """The same with bytes a parameter, in tenths."""
    if isinstance(tree, dict):
        return {key: per_parameter(one, parameters) for key, one in tree.items()}
    return round(tree / parameters, 1) + 0.0  # no -0.0


def seen(env: str, loads_only: bool) -> dict[str, Any]:
    """Every case."""
    versions = {name: importlib.metadata.version(name) for name in (*PACKAGES, "safetensors")}
    if quantises():
        versions["bitsandbytes"] = importlib.metadata.version(QUANTISING[0])
    rows = []
    with tempfile.TemporaryDirectory(prefix="loading-") as folder:
        # by another process: what this one has held, its forks have too
        command = [sys.executable, "-m", "conformance.planner.loading", "--env", env, "--make", folder]
        subprocess.run(command, check=True)
        warm()
        parameters = Path(folder, "one", "model.safetensors").stat().st_size // 2
        folders = {name: str(Path(folder, name)) for name in (*CHECKPOINTS, "bin")}
        for case in cases(versions["transformers"], loads_only):
            whole = {**case, "world": 2, "child": CHILD, "folders": folders, "patience": 400}
            for _, answer in ranks.run_all([whole], 1, None):
                rest = (
                    {"error": answer["error"]}
                    if "error" in answer
                    else {"ranks": [per_parameter(one, parameters) for one in answer["ranks"]]}
                )
                rows.append({"case": case, **rest})
                print(json.dumps(rows[-1]), flush=True)
    return {"env": env, "versions": versions, "shape": SHAPE, "rows": rows}


def same(one: Any, other: Any) -> bool:
    """Equal, but for what a repetition differs by."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= NEAR
    return bool(one == other)


def main() -> int:
    """Compare, or write."""
    parser = argparse.ArgumentParser(description="What a host holds while ranks load a model.")
    parser.add_argument("--env", required=True)
    parser.add_argument("--loads-only", action="store_true", help="no engines")
    parser.add_argument("--make", type=Path, help="write the checkpoints into this folder, and end")
    parser.add_argument("--write", action="store_true", help="store what is seen instead of comparing")
    options = parser.parse_args()
    if options.make:
        make(options.make)
        return 0
    path, now = RECORDED / f"loading-{options.env}.json", seen(options.env, options.loads_only)
    if options.write:
        lines = ",\n".join(json.dumps(row) for row in now.pop("rows"))
        head = json.dumps(now, indent=1).removesuffix("\n}")
        path.write_text(f'{head},\n "rows": [\n{lines}\n]\n}}\n', encoding="utf-8")
        return 0
    before = json.loads(path.read_text(encoding="utf-8"))
    differ = [row["case"]["id"] for row in now["rows"] if not any(same(row, was) for was in before["rows"])]
    if now["versions"] != before["versions"]:
        differ.append("versions")
    print(f"{len(now['rows'])} loadings: {'as recorded' if not differ else 'not so: ' + ', '.join(differ)}")
    return 1 if differ or len(now["rows"]) != len(before["rows"]) else 0


if __name__ == "__main__":
    sys.exit(main())
