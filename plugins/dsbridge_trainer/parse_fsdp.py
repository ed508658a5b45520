"""`fsdp` and `fsdp_config` of TrainingArguments as the spec's `fsdp:`: the way back from `fsdp`.

Transformers reads them in two ways, and the harvested table tells which. Before the newest, the words of
`fsdp` say strategy, offload and wrapping, and `fsdp_config` the rest; now `fsdp` is a switch, and
`fsdp_config` says all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from dsbridge.sdk import Claim, Diagnostic, Draft
from dsbridge_trainer import codes, table
from dsbridge_trainer.fsdp import STRATEGY, words_of

STRATEGIES = ("full_shard", "shard_grad_op", "no_shard", "hybrid_shard", "hybrid_shard_zero2")
_IN_TWO = {"full_shard": True, "shard_grad_op": False}
_OLD_ARGUMENTS = {
    "fsdp_transformer_layer_cls_to_wrap": "transformer_layer_cls_to_wrap",
    "fsdp_min_num_params": "min_num_params",
}
_POLICIES = {"TRANSFORMER_BASED_WRAP": "transformer", "SIZE_BASED_WRAP": "size", "NO_WRAP": "none"}
# transformers' own str_to_bool
_TRUE, _FALSE = ("y", "yes", "t", "true", "on", "1"), ("n", "no", "f", "false", "off", "0")
_BOTH = ("cpu_ram_efficient_loading", "activation_checkpointing")
_ONE = ("forward_prefetch", "use_orig_params", "sync_module_states")
Key = tuple[str, ...]


class Asked(NamedTuple):
    """What is asked for. config: by name without `fsdp_`, and the key of each.

    switch: the newest way to read. versioned: `version` is read; without, there is FSDP 1 alone.
    """

    words: tuple[str, ...]
    config: Mapping[str, Any]
    keys: Mapping[str, Key]
    switch: bool
    versioned: bool
    environ: str

    @property
    def version(self) -> int:
        said = self.config.get("version", 2 if self.switch else 1) if self.versioned else 1
        return int(said) if str(said) in ("1", "2") else 0


def fsdp_part(trees: Mapping[str, Any], version: str) -> Draft:
    """The spec's words for it; nothing where it is not used, cannot be read, or Transformers would stop."""
    given = trees.get("args") or {}
    asked = _asked(given, trees, version)
    if asked is None or not _taken(asked):
        return Draft(homes={"fsdpfile": "named"})
    claims = [*_version(asked), *_sharding(asked), *_wrap(asked), *_rest(asked)]
    named = isinstance(given.get("fsdp_config"), str)
    consumed = frozenset({("args", "fsdp_config")} if named else ())
    said = {claim.path.removeprefix("fsdp."): claim.value for claim in claims}
    silent = {f"fsdp.{name}": value for name, value in _unasked(asked).items() if name not in said}
    # older versions read the words, so rendering keeps that form
    implied = {} if asked.switch else {"fsdp": " ".join(words_of(said))}
    found = tuple(_told(claims))
    return Draft(tuple(claims), {"fsdpfile": "own"}, consumed, _dead(asked), implied, silent, found)


def _dead(asked: Asked) -> dict[Key, str]:
    """Keys of other versions, in whose place rendering writes something."""
    names: tuple[str, ...] = () if asked.versioned else ("version", "reshard_after_forward")
    names += () if asked.switch else ("auto_wrap_policy", "cpu_offload", "state_dict_type")
    why = "is not read by this version of Transformers"
    found = {asked.keys[name]: why for name in names if name in asked.keys}
    if asked.environ and asked.versioned and asked.version == 1 and "reshard_after_forward" in asked.keys:
        found[asked.keys["reshard_after_forward"]] = f"gives way to {STRATEGY} in the environment"
    return found


def _told(claims: list[Claim]) -> Iterator[Diagnostic]:
    for claim in claims:
        if claim.reason:
            hint = f"Set {STRATEGY} in the environment, which Accelerate reads, or take FSDP 2."
            yield codes.STRATEGY_LOST(claim.reason, hint=hint, key=claim.path)


def _asked(given: Mapping[str, Any], trees: Mapping[str, Any], version: str) -> Asked | None:
    said, known = given.get("fsdp"), table.fields(version)
    file = trees.get("fsdpfile")
    config = (file or given).get("fsdp_config")
    if not said or (config is not None and not isinstance(config, Mapping)):
        return None
    if said is True:
        words: list[Any] = []
    elif isinstance(said, str | list):
        words = said.split() if isinstance(said, str) else said
    else:
        return None
    switch = has_switch(version)
    # these two arguments left with the words of Transformers 4
    old = [name for name in _OLD_ARGUMENTS if name in known]
    tree = "fsdpfile" if file else "args"
    stripped = bool(file) or not old
    rows = {_short(str(name)) if stripped else str(name): str(name) for name in config or {}}
    values = {short: (config or {})[name] for short, name in rows.items()}
    keys: dict[str, Key] = {short: (tree, "fsdp_config", name) for short, name in rows.items()}
    for name in old:
        if given.get(name):
            values[_OLD_ARGUMENTS[name]] = given[name]
            keys[_OLD_ARGUMENTS[name]] = ("args", name)
    if said is True and not switch:
        words = ["full_shard"]
    environ = _strategy(str((trees.get("env") or {}).get(STRATEGY, "")))
    return Asked(tuple(str(word) for word in words), values, keys, switch, not old, environ)


def has_switch(version: str) -> bool:
    """`nargs="?"` came with the switch."""
    return bool(table.fields(version).get("fsdp", {}).get("nargs") == "?")


def is_versioned(version: str) -> bool:
    """Before these two arguments went, with Transformers 4, `version` was not read: all was FSDP 1."""
    return not any(name in table.fields(version) for name in _OLD_ARGUMENTS)


def _strategy(word: str) -> str:
    """A name, or its number from 1."""
    numbered = dict(zip("12345", STRATEGIES, strict=True))
    return numbered.get(word, word.lower() if word.lower() in STRATEGIES else "")


def _short(name: str) -> str:
    return name.removeprefix("fsdp_")


def _taken(asked: Asked) -> bool:
    """Whether Transformers goes on with it; XLA's own FSDP is another program."""
    if (
        asked.version == 0
        or asked.config.get("xla")
        or {*asked.words} - {*STRATEGIES, "offload", "auto_wrap"}
    ):
        return False
    strategies = [word for word in asked.words if word in STRATEGIES]
    if len(strategies) > 1 or (asked.words == ("offload",) and not asked.switch):
        return False
    if asked.version == 2 and any(word not in _IN_TWO for word in strategies) and asked.switch:
        return False
    both = asked.config.get("min_num_params") and asked.config.get("transformer_layer_cls_to_wrap")
    return asked.switch or not both


def _claim(asked: Asked, path: str, value: Any, *names: str) -> Claim:
    keys = tuple(asked.keys[name] for name in names if name in asked.keys)
    return Claim(f"fsdp.{path}", value, keys)


def _version(asked: Asked) -> Iterator[Claim]:
    read = ("version",) if asked.versioned else ()
    found = _claim(asked, "version", asked.version, *read)
    yield found._replace(keys=(("args", "fsdp"), *found.keys))


def _sharding(asked: Asked) -> Iterator[Claim]:
    word = next((word for word in asked.words if word in STRATEGIES), None)
    key, said = "reshard_after_forward", asked.config.get("reshard_after_forward")
    if asked.version == 1:
        yield from _strategy_of_one(asked, word, said)
    elif said is not None:
        yield _claim(asked, key, _bool(said), key)
    elif word in _IN_TWO:
        yield Claim("fsdp.sharding", word, (("args", "fsdp"),))
    if "offload" in asked.words:
        yield Claim("fsdp.offload_params", True, (("args", "fsdp"),))
    elif asked.switch and "cpu_offload" in asked.config:
        yield _claim(asked, "offload_params", bool(asked.config["cpu_offload"]), "cpu_offload")


def _strategy_of_one(asked: Asked, word: str | None, said: Any) -> Iterator[Claim]:
    """Transformers 5 says the strategy as `reshard_after_forward`, where Accelerate does not look for it:
    accelerate 1.15.0 utils/dataclasses.py:1846, accelerator.py:1947 (recorded in tests/recorded/fsdp)."""
    if not asked.versioned:
        if word is not None:
            yield Claim("fsdp.sharding", word, (("args", "fsdp"),))
        return
    if asked.environ:
        yield Claim("fsdp.sharding", asked.environ, (("env", STRATEGY),))
        return
    name = "reshard_after_forward"
    wanted = str(word if said is None else said).lower()
    keys = (asked.keys[name],) if said is not None else (("args", "fsdp"),)
    if wanted in STRATEGIES:
        lost = f"`{wanted}` does not reach Accelerate, which trains in FULL_SHARD: so that is what is kept"
        yield Claim("fsdp.sharding", "full_shard", keys, "" if wanted == "full_shard" else lost)


def _wrap(asked: Asked) -> Iterator[Claim]:
    """The policy, and of class and size the one that it reads."""
    layers, size = asked.config.get("transformer_layer_cls_to_wrap"), asked.config.get("min_num_params")
    if asked.switch:
        said = asked.config.get("auto_wrap_policy")
        policy = "transformer" if said is None else _POLICIES.get(str(said))
        if said is not None and policy:
            yield _claim(asked, "auto_wrap", policy, "auto_wrap_policy")
    else:
        policy = "none" if "auto_wrap" not in asked.words else "size" if size else "transformer"
        yield Claim("fsdp.auto_wrap", policy, (("args", "fsdp"),))
    if policy == "transformer" and layers:
        names = [layers] if isinstance(layers, str) else layers
        yield _claim(asked, "transformer_layer_cls", names, "transformer_layer_cls_to_wrap")
    if policy == "size" and size:
        yield _claim(asked, "min_num_params", size, "min_num_params")


def _rest(asked: Asked) -> Iterator[Claim]:
    for name in (*_BOTH, *(_ONE if asked.version == 1 else ())):
        if name in asked.config:
            yield _claim(asked, name, _bool(asked.config[name]), name)
    prefetch = asked.config.get("backward_prefetch")
    if prefetch is not None and asked.version == 1:
        yield _claim(asked, "backward_prefetch", str(prefetch).lower(), "backward_prefetch")
    saved = asked.config.get("state_dict_type")
    if saved is not None and asked.switch:
        yield _claim(asked, "state_dict_type", str(saved).lower(), "state_dict_type")


def _bool(value: Any) -> Any:
    """A text is read as a boolean."""
    word = str(value).lower()
    return True if word in _TRUE else False if word in _FALSE else value


def _unasked(asked: Asked) -> dict[str, Any]:
    """The Trainer's defaults; Accelerate's own are others."""
    found: dict[str, Any] = {"cpu_ram_efficient_loading": False}
    if asked.switch:
        found |= {"auto_wrap": "transformer", "state_dict_type": "full_state_dict"}
    if asked.version == 1:
        found |= {"sharding": "full_shard", "backward_prefetch": "no_prefetch", "forward_prefetch": False}
        found |= {"use_orig_params": True, "sync_module_states": True}
    elif not any(word in _IN_TWO for word in asked.words):
        found["reshard_after_forward"] = True
    return found
