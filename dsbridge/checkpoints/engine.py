"""One folder that DeepSpeed's save_checkpoint wrote (`global_step500/`): its files, and what they say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dsbridge.checkpoints import tree
from dsbridge.checkpoints.archive import contents, whole
from dsbridge.checkpoints.listing import listed
from dsbridge.checkpoints.opcodes import Unreadable
from dsbridge.rules import NOTHING

_OPTIM = re.compile(r"(bf16_)?zero_pp_rank_(\d{1,6})_mp_rank_(\d{1,4})_?optim_states\.pt")
_SPLIT = re.compile(r"zero_pp_rank_(\d{1,6})_mp_rank_(\d{1,4})_model_states\.pt")
_WHOLE = re.compile(r"mp_rank_(\d{1,4})_model_states\.pt")
_EXPERT = re.compile(r"(layer_\d+_)?expert_\d+_mp_rank_\d+_model_states\.pt")
_PIPE = re.compile(r"layer_\d+-model_.*states\.pt")
Ranks = frozenset[tuple[int, int]]  # (data parallel, tensor parallel)


class Saved(NamedTuple):
    """What is known of it. None: nobody says.

    optim, split, models: ranks whose files are there: optimizer shards, split model files (ZeRO-3), whole
    model files (by tp rank alone). bf16_names: shards are named as a bf16 engine names them. stage: 0 without
    shards. dp, tp: ranks at the time. dtype: of the weights in the model file. states: names of the
    optimizer's states. groups: of trained parameters, by rate and decay. rigid: False for elastic_checkpoint;
    elastic_step: that has the step. scheduler: DeepSpeed has its state. trained, frozen, weights: names.
    own: keys that the program put in (`client_state`). config: the DeepSpeed config of the run. universal:
    folder `zero/` is there, with these parameters. damaged, unread: by file, why.
    """

    tag: str
    optim: Ranks = frozenset()
    split: Ranks = frozenset()
    models: frozenset[int] = frozenset()
    bf16_names: bool | None = None
    stage: int | None = None
    dp: int | None = None
    tp: int | None = None
    version: str = ""
    dtype: str = ""
    steps: int | None = None
    states: tuple[str, ...] = ()
    groups: tuple[Mapping[str, Any], ...] = ()
    rigid: bool | None = None
    elastic_step: bool | None = None
    scheduler: bool | None = None
    trained: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    config: Mapping[str, Any] = NOTHING
    injectable: bool | None = None
    universal: frozenset[str] = frozenset()
    universal_stage3: bool = False
    experts: bool = False
    pipeline: bool = False
    nvme: bool = False
    damaged: Mapping[str, str] = NOTHING
    unread: Mapping[str, str] = NOTHING


# what _common_checkpoint_state writes; anything else is the program's own
_OURS = frozenset(
    [
        "module",
        "buffer_names",
        "optimizer",
        "param_shapes",
        "frozen_param_shapes",
        "shared_params",
        "frozen_param_fragments",
        "lr_scheduler",
        "data_sampler",
        "random_ltd",
        "sparse_tensor_module_names",
        "skipped_steps",
        "global_steps",
        "global_samples",
        "dp_world_size",
        "mp_world_size",
        "ds_config",
        "ds_version",
        "num_experts",
        "checkpoint_parallel_dimensions",
        "universal_checkpoint_info",
        "autoep_layers",
    ]
)
_MOST_CHECKED = 4096


def saved_in(folder: Path) -> Saved | None:
    """What DeepSpeed wrote into a folder; None if it did not."""
    names = listed(folder)
    optim, split, models = (_matching(pattern, names) for pattern in (_OPTIM, _SPLIT, _WHOLE))
    universal = frozenset(listed(folder / "zero")) if "zero" in names else frozenset[str]()
    if not (optim or split or models or universal):
        return None
    found = Saved(
        folder.name,
        frozenset((int(m[2]), int(m[3])) for m in optim.values()),
        frozenset((int(m[1]), int(m[2])) for m in split.values()),
        frozenset(int(m[1]) for m in models.values()),
        any(m[1] for m in optim.values()) if optim else None,
        universal=frozenset(name for name in universal if not name.endswith(".pt")),
        universal_stage3="optimizer_state.pt" in universal,
        experts=any(map(_EXPERT.fullmatch, names)),
        pipeline=any(map(_PIPE.fullmatch, names)),
        nvme="offloaded_tensors" in names,
        damaged=_damaged(folder, [*optim, *split, *models]),
    )
    return _completed(_shard(_model(found, folder, [*models, *split]), folder, list(optim)))


def _matching(pattern: re.Pattern[str], names: Iterable[str]) -> dict[str, re.Match[str]]:
    return {name: match for name in names if (match := pattern.fullmatch(name))}


def _damaged(folder: Path, names: Iterable[str]) -> dict[str, str]:
    some = sorted(names)[:_MOST_CHECKED]
    return {name: why for name in some if (why := whole(folder / name))}


def _first(found: Saved, folder: Path, names: list[str]) -> tuple[Saved, Any]:
    """The contents of the first file of a kind that can be read."""
    for name in sorted(names, key=_rank)[:2]:
        if name in found.damaged:
            continue
        try:
            return found, contents(folder / name)
        except Unreadable as error:
            found = found._replace(unread={**found.unread, name: str(error)})
    return found, None


def _rank(name: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", name.replace("bf16", "")))


def _model(found: Saved, folder: Path, names: list[str]) -> Saved:
    """Of the model file: counters, sizes of groups, the config, names."""
    found, value = _first(found, folder, names)
    if value is None:
        return found
    shapes, frozen = tree.at(value, "param_shapes"), tree.at(value, "frozen_param_shapes")
    groups = shapes if isinstance(shapes, (list, tuple)) else ()
    config = tree.plain(tree.at(value, "ds_config"))
    keys = tree.mapping(value)
    return found._replace(
        dp=tree.integer(keys.get("dp_world_size")),
        tp=tree.integer(keys.get("mp_world_size")),
        version=tree.text(keys.get("ds_version")),
        dtype=tree.dtype(keys.get("module")),
        steps=tree.integer(keys.get("global_steps")),
        scheduler=keys["lr_scheduler"] is not None if "lr_scheduler" in keys else None,
        trained=tuple(name for group in groups for name in tree.names(group)),
        frozen=tree.names(frozen),
        weights=tree.names(keys.get("module")),
        own=tuple(key for key in tree.names(value, 100) if key not in _OURS),
        config=config if isinstance(config, dict) else NOTHING,
        injectable="universal_checkpoint_info" in keys,
        states=_states(keys.get("optimizer")),
    )


def _shard(found: Saved, folder: Path, names: list[str]) -> Saved:
    """Of an optimizer shard: stage, partitions, the states' names."""
    found, value = _first(found, folder, names)
    inner = tree.mapping(tree.at(value, "optimizer_state_dict"))
    if not inner:
        return found
    stage = tree.integer(inner.get("zero_stage"))
    count = inner.get("partition_count")
    parts = tree.integer(count[0] if isinstance(count, (list, tuple)) and count else count)
    base = inner.get("base_optimizer_state", inner.get("optimizer_state_dict"))
    return found._replace(
        stage=stage if stage is not None else 1 if "base_optimizer_state" in inner else None,
        dp=found.dp or parts,
        version=found.version
        or tree.text(tree.at(value, "ds_version"))
        or tree.text(inner.get("ds_version")),
        rigid=not isinstance(base, (list, tuple)),
        elastic_step="base_optimizer_state_step" in inner,
        states=_states(inner),
        groups=tuple(_group(group) for group in _param_groups(base)[:64]),
        config=found.config or tree.plain(tree.at(value, "ds_config")) or NOTHING,
    )


def _param_groups(base: Any) -> tuple[Any, ...]:
    groups = tree.at(base, "param_groups")
    return tuple(groups) if isinstance(groups, (list, tuple)) else ()


def _group(value: Any) -> dict[str, Any]:
    """Rate and the like of one group of parameters."""
    said = tree.plain(
        {key: tree.at(value, key) for key in ("lr", "initial_lr", "weight_decay", "betas", "eps")}
    )
    return {key: number for key, number in said.items() if number is not None}


def _states(value: Any) -> tuple[str, ...]:
    """Names of what the optimizer keeps for each parameter."""
    for key in ("base_optimizer_state", "optimizer_state_dict"):
        inner = tree.mapping(value).get(key)
        value = inner if inner is not None else value
    states = (
        value if isinstance(value, (list, tuple)) else list(tree.mapping(tree.at(value, "state")).values())
    )
    found = (name for state in states[:8] for name in tree.names(state, 20))
    return tuple(dict.fromkeys(name for name in found if name not in ("step", "params")))


def _completed(found: Saved) -> Saved:
    """With what the names say where no file does."""
    ranks = found.optim or found.split
    stage = found.stage
    if found.split:
        stage = 3
    elif stage is None and found.optim:
        said = tree.integer(tree.at(dict(found.config), "zero_optimization", "stage"))
        stage = said if said in (1, 2) else None
    elif stage is None and found.models and not found.universal:
        stage = 0
    return found._replace(
        stage=stage,
        dp=found.dp or (max(dp for dp, _ in ranks) + 1 if ranks else None),
        tp=found.tp or (max(tp for _, tp in ranks) + 1 if ranks else len(found.models) or None),
    )
