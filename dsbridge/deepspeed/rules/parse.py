"""What `deepspeed.initialize` and DeepSpeedConfig meet first: the mesh, keys that are gone, scalars."""

from __future__ import annotations

from typing import Any

from dsbridge.deepspeed.rules._make import (
    LOAD_SINCE,
    NEWEST,
    RANKS,
    REMOVED_SINCE,
    SEQUENCE_DTYPE_SINCE,
    SEQUENCE_SINCE,
    between,
    ev,
    no_attribute,
    refusal,
    since,
    until,
    write,
)
from dsbridge.rulebook import (
    OverrideRule,
    Range,
    all_of,
    among,
    as_repr,
    choose,
    div,
    first,
    get,
    is_a,
    is_set,
    item,
    keys,
    less,
    listed,
    lower,
    missing,
    mul,
    no,
    one_of,
    table,
    text,
    trouble,
    truthy,
    type_name,
)

_AUTOTP = get("engine.tensor_parallel.autotp_size")
_MESH = mul(get("engine.data_parallel_size"), get("engine.sequence_parallel_size"))
_ALLREDUCE = get("engine.gradient_allreduce_op")

_SP, _DP = get("engine.sequence_parallel_size"), get("engine.data_parallel_size")
_BOTH = all_of(is_set(_SP), is_set(_DP))
# Until 0.18.6 these keys were looked for in what the script gave: in a path there are none.
_SEEN = no(truthy(get("given.path")))
_FREE = missing(get("init.world_size"))


def _mesh(code: str, seen: Any, versions: tuple[Range, ...], version: str) -> OverrideRule:
    return refusal(
        code,
        "the mesh of sequence and data parallel ranks is larger than the world",
        "initialize",
        all_of(is_a(_SP, "int"), is_a(_DP, "int"), less(RANKS, _MESH), seen),
        (
            "RuntimeError",
            text("Mesh should not be bigger than default world size {}, but found {} ranks!", RANKS, _MESH),
            ("sequence_parallel_size", "data_parallel_size"),
        ),
        "The two sizes are made into a mesh of ranks, and there are fewer ranks than that.",
        ev(
            "__init__.py",
            "543" if version == NEWEST else "159",
            'if "sequence_parallel_size" in config and "data_parallel_size" in config:',
            "scalar/sequence-and-data-wrong" if version == NEWEST else "entry/mesh-wrong",
            version,
        ),
        {"engine.sequence_parallel_size": 2, "engine.data_parallel_size": 2, "fact.world_size": 2},
        {"engine.sequence_parallel_size": 2, "engine.data_parallel_size": 1, "fact.world_size": 2},
        versions=versions,
        hint="data_parallel_size times sequence_parallel_size must be the number of ranks.",
    )


def _world(
    code: str, versions: tuple[Range, ...], where: tuple[str, str, str], seen: Any, alone: Any
) -> OverrideRule:
    """What DeepSpeed divides the batch by. alone: what sequence_parallel_size by itself gives."""
    line, quote, recorded = where
    version = NEWEST if line in ("472", "469") else "0.18.4" if line == "681" else "0.16.2"
    given = _BOTH if alone is None else is_set(_SP)
    return write(
        code,
        "sequence parallel ranks share a batch",
        "initialize",
        all_of(given, _FREE, seen),
        "init.world_size",
        _DP if alone is None else choose(is_set(_DP), _DP, alone),
        "With both sizes DeepSpeed counts data parallel ranks; with one it divides, into a fraction.",
        ev("runtime/config.py", line, quote, recorded, version),
        {"engine.sequence_parallel_size": 2, "engine.data_parallel_size": 1, "fact.world_size": 2},
        {"engine.data_parallel_size": 2, "fact.world_size": 2},
        versions=versions,
    )


_DIVIDED = 'self.world_size = dist.get_world_size() / config["sequence_parallel_size"]'
_GROUPED = 'self.world_size = dist.get_world_size(mesh_device.get_group(mesh_dim="data_parallel"))'
INITIALIZE = (
    _mesh("DS100", True, since(LOAD_SINCE), NEWEST),
    _mesh("DS250", _SEEN, until(LOAD_SINCE), "0.16.2"),
    no_attribute(
        "DS101",
        "tensor_parallel",
        "get",
        "initialize",
        ev("__init__.py", "550", 'autotp_size = config.get("tensor_parallel", {}).get(', "tp/null"),
        since(LOAD_SINCE),
    ),
    refusal(
        "DS102",
        "autotp_size must be a number",
        "initialize",
        all_of(truthy(_AUTOTP), is_set(trouble(">", _AUTOTP, 0))),
        ("TypeError", item(trouble(">", _AUTOTP, 0), "message"), ("tensor_parallel.autotp_size",)),
        'AutoTP\'s size is compared with 0 before anything reads it; nobody fills an "auto" here.',
        ev("__init__.py", "551", "if autotp_size and autotp_size > 0:", "tp/auto"),
        {"engine.tensor_parallel.autotp_size": "auto"},
        {"engine.tensor_parallel.autotp_size": 2},
        versions=since(LOAD_SINCE),
        hint="Write the number of ranks that share one layer.",
    ),
    _world(
        "DS251", since(LOAD_SINCE), ("469", _DIVIDED, "scalar/sequence-parallel-file"), True, div(RANKS, _SP)
    ),
    _world(
        "DS252",
        between(SEQUENCE_SINCE, LOAD_SINCE),
        ("681", _DIVIDED, "entry/sequence"),
        _SEEN,
        div(RANKS, _SP),
    ),
    _world("DS253", until(SEQUENCE_SINCE), ("727", _GROUPED, "entry/mesh"), _SEEN, None),
)


def _removed(
    code: str, place: str, path: str, quote: str, recorded: str, fires: str, prefix: str = ""
) -> OverrideRule:
    known = table(f"deepspeed.removed.{place}")
    gone = first(among(keys(known), keys(get(path))))
    return refusal(
        code,
        f"keys of removed features stop DeepSpeed ({place})",
        "config.removed",
        truthy(gone),
        ("DeepSpeedConfigError", item(known, gone), listed(text(prefix + "{}", gone))),
        "The feature is gone; DeepSpeed refuses the leftover key rather than ignore it, whatever it says.",
        ev("runtime/config.py", "132-142", quote, recorded),
        {fires: False},
        {path: {}},
        versions=since(REMOVED_SINCE),
        hint="Remove the key.",
    )


def _comm(
    codes: tuple[str, str], key: str, recorded: tuple[str, str], versions: tuple[Range, ...] = ()
) -> tuple[OverrideRule, ...]:
    value = get(f"engine.{key}")
    given = all_of(is_set(value), no(is_a(value, "null")))
    supported = ["fp16", "bf16", "fp32"]
    message = f"Invalid communication_data_type. Supported data types: {supported}. Got: {{}}"
    hint = "Write fp16, bf16 or fp32."
    return (
        refusal(
            codes[0],
            f"{key} must be text",
            "config.parameters",
            all_of(given, no(is_a(value, "str"))),
            ("AttributeError", text("'{}' object has no attribute 'lower'", type_name(value)), (key,)),
            "The value is put in lower case before it is looked at.",
            ev("runtime/config.py", "220", "val = val.lower() if val is not None else val", recorded[0]),
            {f"engine.{key}": 16},
            {f"engine.{key}": "fp16"},
            versions=versions,
            hint=hint,
        ),
        refusal(
            codes[1],
            f"{key} is fp16, bf16 or fp32",
            "config.parameters",
            all_of(given, is_a(value, "str"), no(one_of(lower(value), supported))),
            ("ValueError", text(message, lower(value)), (key,)),
            "DeepSpeed sends gradients in three formats.",
            ev(
                "runtime/config.py", "230", 'raise ValueError(f"Invalid communication_data_type.', recorded[1]
            ),
            {f"engine.{key}": "float8"},
            {f"engine.{key}": "BF16"},
            versions=versions,
            hint=hint,
        ),
    )


_ALLREDUCE_WRONG = all_of(
    is_set(_ALLREDUCE), no(all_of(is_a(_ALLREDUCE, "str"), one_of(lower(_ALLREDUCE), ["mean", "sum"])))
)
SCALARS = (
    *_comm(("DS105", "DS106"), "communication_data_type", ("scalar/comm-number", "scalar/comm-wrong")),
    *_comm(
        ("DS107", "DS108"),
        "seq_parallel_communication_data_type",
        ("kind/seq-comm-number", "scalar/seq-comm-wrong"),
        since(SEQUENCE_DTYPE_SINCE),
    ),
    refusal(
        "DS109",
        "gradient_allreduce_op is mean or sum",
        "config.parameters",
        _ALLREDUCE_WRONG,
        (
            "ValueError",
            text(
                "Invalid gradient_allreduce_op. Supported operations: ['mean', 'sum']. Got: {}",
                as_repr(_ALLREDUCE),
            ),
            ("gradient_allreduce_op",),
        ),
        "DeepSpeed can average gradients or add them.",
        ev("runtime/config.py", "248", 'f"Got: {value!r}")', "scalar/allreduce-wrong"),
        {"engine.gradient_allreduce_op": "max"},
        {"engine.gradient_allreduce_op": "sum"},
        versions=since(NEWEST),
    ),
)
REMOVED = (
    _removed(
        "DS103",
        "top_level",
        "engine",
        "for key, message in _REMOVED_TOP_LEVEL_CONFIG_KEYS.items():",
        "removed/nebula",
        "engine.nebula",
    ),
    _removed(
        "DS104",
        "zero_optimization",
        "engine.zero_optimization",
        "for key, message in _REMOVED_ZERO_CONFIG_KEYS.items():",
        "zero/mics",
        "engine.zero_optimization.mics_shard_size",
        "zero_optimization.",
    ),
)
