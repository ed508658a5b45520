"""What bitsandbytes really holds: python -m conformance.shapes.quantising --out FILE

With an environment's own Python that has bitsandbytes (llamafactory). Transformers puts its modules into
tiny models
on the CPU; the bytes of every tensor that each then holds are added up.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from conformance.shapes.cases import TINY
from conformance.shapes.weigh import build

MODELS = ("llama", "qwen2 tie_word_embeddings=True", "mixtral", "deepseek_v3", "gpt2", "gemma2 head_dim=24")
SCHEMES: dict[str, dict[str, Any]] = {
    "nf4": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
    "nf4-single": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": False},
    "fp4": {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4", "bnb_4bit_use_double_quant": True},
    "int8": {"load_in_8bit": True},
}


def held(model: Any) -> dict[str, int]:
    """Bytes of packed weights, of what unpacks them, and the number of parameters left as they were."""
    import bitsandbytes as bnb

    weights = scales = kept = 0
    packed = set()
    for module in model.modules():
        if isinstance(module, bnb.nn.Linear4bit):
            state = module.weight.quant_state
            packed.add(id(module.weight))
            weights += _bytes(module.weight)
            scales += _state_bytes(state)
        elif isinstance(module, bnb.nn.Linear8bitLt):
            packed.add(id(module.weight))
            weights += _bytes(module.weight)
            scales += _bytes(module.weight.SCB if module.weight.SCB is not None else module.state.SCB)
    kept = sum(p.numel() for p in model.parameters() if id(p) not in packed)
    return {"weights": weights, "scales": scales, "kept": kept}


def _bytes(tensor: Any) -> int:
    return int(tensor.numel() * tensor.element_size())


def _state_bytes(state: Any) -> int:
    found = _bytes(state.absmax) + _bytes(state.code)
    if state.nested:
        found += _bytes(state.offset) + _bytes(state.state2.absmax) + _bytes(state.state2.code)
    return found


def quantise(config: dict[str, Any], options: dict[str, Any], folder: Path) -> Any:
    """Save a tiny model, and load it as a user would."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    build(config, "cpu").save_pretrained(folder)
    return AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=BitsAndBytesConfig(**options), device_map="cpu"
    )


def main() -> None:
    """Write every case of the installed packages."""
    import tempfile

    import bitsandbytes
    import transformers

    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    rows = []
    for name in MODELS:
        for scheme, options in SCHEMES.items():
            with tempfile.TemporaryDirectory() as folder:
                found = held(quantise(TINY[name], options, Path(folder)))
            rows.append({"model": name, "scheme": scheme, **found, "config": TINY[name]})
            print(rows[-1], flush=True)
    versions = {"transformers": transformers.__version__, "bitsandbytes": bitsandbytes.__version__}
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    out.write_text(
        f'{{\n "versions": {json.dumps(versions)},\n "cases": [\n{lines}\n ]\n}}\n', encoding="utf-8"
    )


if __name__ == "__main__":
    main()
