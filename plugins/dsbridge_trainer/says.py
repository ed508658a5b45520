"""The model of a Trainer script: which it loads, in how many bits, and with which adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dsbridge.rulebook import CallSite, is_plain
from dsbridge.sdk import Claim, Diagnostic, Draft, Source
from dsbridge_trainer import codes
from dsbridge_trainer.snippet import ADAPTER

Text = Callable[[Any], "str | None"]
_QUANTIZED = {"load_in_4bit": 4, "load_in_8bit": 8}
_FOUR = {"bnb_4bit_quant_type": "quantization_type", "bnb_4bit_use_double_quant": "double_quantization"}
TREE = "says"


class Says:
    """Spec paths with their values, and where the script says them."""

    def __init__(self, file: str, text: Text) -> None:
        self.file, self.text = file, text
        self.values: dict[str, Any] = {}
        self.places: dict[str, Source] = {}

    def take(self, path: str, value: Any, call: CallSite, name: str, position: int | None = None) -> None:
        """A literal argument; what only a run would give is left out."""
        if value is not None and is_plain(value) and path not in self.values:
            self.values[path] = value
            self.places[f"{TREE}.{path}"] = call.place(self.file, name, position)


def model_says(
    model: Any, adapter: Any, trainer: CallSite, wrappers: tuple[str, ...], file: str, text: Text
) -> Says:
    """model: what the Trainer gets, wrapped or not. adapter: its `peft_config`. text: reads a name."""
    found = Says(file, text)
    named = text(model) if not isinstance(model, CallSite) else None
    if named is not None:
        found.take("model.name_or_path", named, trainer, "model", 0)
    while isinstance(model, CallSite) and model.short in wrappers:
        if model.short == "get_peft_model":
            adapter = adapter or model.argument("peft_config", 1)
        model = model.argument("model", 0)
    if isinstance(model, CallSite) and model.short == "from_pretrained":
        _loaded(model, found)
    if isinstance(adapter, CallSite) and adapter.short == "LoraConfig":
        _adapter(adapter, found)
    return found


def _loaded(call: CallSite, found: Says) -> None:
    name = found.text(call.argument("pretrained_model_name_or_path", 0))
    found.take("model.name_or_path", name, call, "pretrained_model_name_or_path", 0)
    found.take("model.attention", call.argument("attn_implementation"), call, "attn_implementation")
    found.take("model.trust_remote_code", call.argument("trust_remote_code"), call, "trust_remote_code")
    bits = call.argument("quantization_config")
    for source in (call, bits):
        if not isinstance(source, CallSite):
            continue
        for word, number in _QUANTIZED.items():
            if source.argument(word) is True:
                found.take("finetuning.quantization_bits", number, source, word)
    if isinstance(bits, CallSite) and found.values.get("finetuning.quantization_bits") == 4:
        for word, name in _FOUR.items():
            found.take(f"finetuning.{name}", bits.argument(word), bits, word)


def _adapter(call: CallSite, found: Says) -> None:
    method = "qlora" if "finetuning.quantization_bits" in found.values else "lora"
    found.take("finetuning.method", method, call, "r")
    for name, word in ADAPTER.items():
        value = call.argument(word)
        if name == "target_modules" and value == "all-linear":
            value = "all"
        found.take(f"finetuning.{name}", list(value) if isinstance(value, tuple) else value, call, word)


def said_claims(said: Mapping[str, Any]) -> Iterator[Claim]:
    """The tree of `model_says` in the spec's words; its leaves have the spec's own paths."""
    for path, value in said.items():
        yield Claim(path, value, ((TREE, *path.split(".")),))


# TRL's makers of an adapter and of quantisation from ModelConfig, and its words: trl 1.16.0
# trainer/model_config.py, trainer/utils.py get_peft_config, get_quantization_config
MAKERS = {"adapter": "get_peft_config", "bits": "get_quantization_config"}
_CONFIG = {
    "lora_r": "rank",
    "lora_alpha": "alpha",
    "lora_dropout": "dropout",
    "lora_target_modules": "target_modules",
    "use_rslora": "use_rslora",
    "use_dora": "use_dora",
}
_CONFIG_BITS = {"bnb_4bit_quant_type": "quantization_type", "use_bnb_nested_quant": "double_quantization"}
OTHERS = "others"


def other_claims(
    config: Mapping[str, Any], given: Mapping[str, Any], asks: Mapping[str, bool]
) -> Iterator[Claim]:
    """What TRL's ModelConfig says where the script asks it. config: with its defaults; given: without."""
    bits = [word for word in _QUANTIZED if asks.get("bits") and config.get(word) is True]
    rows: dict[str, str] = {}
    for word in bits[:1]:
        yield Claim("finetuning.quantization_bits", _QUANTIZED[word], ((OTHERS, word),))
        rows |= _CONFIG_BITS if _QUANTIZED[word] == 4 else {}
    if asks.get("adapter") and config.get("use_peft") is True:
        yield Claim("finetuning.method", "qlora" if bits else "lora", ((OTHERS, "use_peft"),))
        rows |= _CONFIG
    for word, name in rows.items():
        value = config.get(word)
        if word == "lora_target_modules" and value in (["all-linear"], "all-linear"):
            value = "all"
        if value is not None and value is not False:
            yield Claim(f"finetuning.{name}", value, ((OTHERS, word),) if word in given else ())


def others_part(trees: Mapping[str, Any]) -> Draft:
    """The arguments of the script's other classes: what it asks them for is claimed, the rest is told."""
    given, says = trees.get(OTHERS) or {}, trees.get(TREE) or {}
    about = trees.get("script") or {}
    claims = tuple(other_claims(about.get("others") or {}, given, about.get("asks") or {}))
    said = (says.get("model.name_or_path"), says.get("model.attention"))
    consumed = frozenset((OTHERS, name) for name, value in given.items() if value in said)
    why = "is an argument of the script's own, which reads it"
    return Draft(claims, {OTHERS: ""} if given else {}, consumed, {(OTHERS, name): why for name in given})


# PEFT's own numbers, which other frameworks do not share: peft 0.18.1 tuners/lora/config.py:387-408
_PEFT = {"finetuning.rank": 8, "finetuning.alpha": 8, "finetuning.dropout": 0.0}


def unsaid(said: Mapping[str, Any]) -> dict[str, Any]:
    """What PEFT does where a LoraConfig says nothing."""
    adapts = said.get("finetuning.method") in ("lora", "qlora")
    return {path: value for path, value in _PEFT.items() if adapts and path not in said}


def targets_chosen(said: Mapping[str, Any]) -> Diagnostic | None:
    """Without names PEFT takes those that it has listed for the model's type."""
    if said.get("finetuning.method") not in ("lora", "qlora") or "finetuning.target_modules" in said:
        return None
    message = "`LoraConfig` names no `target_modules`: PEFT chooses them by the type of the model"
    hint = "Name them for another framework, whose own choice differs: [q_proj, v_proj] for Llama and Qwen."
    return codes.TARGETS(message, hint=hint, key="finetuning.target_modules")
