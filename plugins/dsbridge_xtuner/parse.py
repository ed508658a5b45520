"""A training config and its command in the spec's words: the way back from `settings`.

The config itself stays what is trained (`frameworks.xtuner.config`), so what the spec has no word for is
not lost; the fields that the spec can say are claimed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dsbridge.rulebook import Reading, Setup
from dsbridge.sdk import Claim, Diagnostic, Draft, cluster_claims, rank_claims
from dsbridge_xtuner import codes
from dsbridge_xtuner.config_shape import difference
from dsbridge_xtuner.parse_config import config_fields
from dsbridge_xtuner.parse_ds import FILE, deepspeed_claims, overwritten, own_claims, said_by_config
from dsbridge_xtuner.parse_options import account
from dsbridge_xtuner.parse_trainer import trainer_claims, trainer_leaves
from dsbridge_xtuner.view import READ, View

_RANKS = {"nodes": "NNODES", "ranks": "NPROC_PER_NODE", "addr": "ADDR", "port": "PORT"}
# what a config says by leaving something out; other defaults count where a target has another one
_TOLD = ("finetuning.method", "scheduler.type")
_TASKS = {"nodes": "nodes", "ranks": "ntasks-per-node", "addr": "MASTER_ADDR", "port": "MASTER_PORT"}
_NOT_KEPT = ("deepspeed", "local_rank", "problem", "resume_missing")
_OWN_WRAPPER = "DeepSpeedOptimWrapper"


def parse(setup: Setup, reading: Reading) -> Draft:
    """The config with the options in it, the DeepSpeed file, the flags and the launcher."""
    trees = reading.trees
    if not trees.get("flags"):
        return Draft()  # a help text, or another of XTuner's commands
    cfg, flags = _mapping(trees.get("cfg")), _mapping(trees.get("flags"))
    view = _view(setup, trees, cfg)
    ds = _mapping(trees.get("ds")) if view.way in ("file", "trainer") else {}
    found = list(config_fields(view))
    silent = {claim.path: claim.value for claim in found if not claim.keys and claim.path not in _TOLD}
    claims = [*_flag_claims(flags), *_ranks(setup, reading), *(c for c in found if c.path not in silent)]
    consumed = {*(("flags", name) for name in _NOT_KEPT), *_dead(cfg)}
    lost: dict[tuple[str, ...], str] = {}
    if view.trainer:
        claims += trainer_claims(setup, trees, ds)
        consumed |= trainer_leaves(setup, trees, ds)
    elif view.way == "own":
        claims += own_claims(_mapping(trees.get("own")))
    else:
        claims += deepspeed_claims(ds)
        if Claim("precision.dtype", "auto") in (claim._replace(keys=()) for claim in claims):
            silent["precision.dtype"] = "bf16" if setup.facts.get("bf16_supported", True) else "fp16"
        consumed |= set(said_by_config(ds, view))
        lost |= overwritten(ds, view)
    if flags.get("launcher") == "mpi":
        lost["flags", "launcher"] = "has no place in the spec, whose launches are torchrun's and slurm's"
    else:
        consumed.add(("flags", "launcher"))
    options = account(_mapping(flags.get("cfg_options")), claims, view)
    homes = {"cfg": "named", "flags": "own"} | ({FILE: "deepspeed"} if ds else {})
    return Draft(
        tuple(claims),
        homes,
        frozenset(consumed | options.taken),
        lost | options.lost,
        _implied(setup, flags, cfg, claims),
        silent,
        (*_told(setup, flags, view), *_stops(trees)),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _view(setup: Setup, trees: Mapping[str, Any], cfg: Mapping[str, Any]) -> View:
    """Where DeepSpeed's config comes from. For a config alone a file is assumed when it is explained;
    nobody has named one, so none is parsed."""
    named = any(name.endswith(".json") for name in setup.given) or not setup.assumed
    view = View(cfg)
    if isinstance(trees.get("args"), Mapping):
        return view._replace(way="trainer" if named else "", trainer=True)
    own = isinstance(trees.get("own"), Mapping)
    file = isinstance(trees.get("ds"), Mapping) and named
    if own and (not file or view.name("optim_wrapper.type") == _OWN_WRAPPER):
        return view._replace(way="own")
    return view._replace(way="file" if file else "")


def _flag_claims(flags: Mapping[str, Any]) -> Iterator[Claim]:
    """Flags win over the config's fields, so they come first."""
    if flags.get("work_dir") is not None:
        yield Claim("training.output_dir", flags["work_dir"], (("flags", "work_dir"),))
    if flags.get("seed") is not None and flags.get("resume") is None:
        yield Claim("training.seed", flags["seed"], (("flags", "seed"),))
    if flags.get("launcher") == "slurm":
        yield Claim("launch.kind", "slurm", (("flags", "launcher"),))


def _ranks(setup: Setup, reading: Reading) -> Iterator[Claim]:
    """`xtuner train` starts torchrun by variables of its own: xtuner 0.2.0 entry_point.py:301."""
    yield from cluster_claims(setup, reading)
    environ = setup.given_environ
    if _mapping(reading.trees.get("flags")).get("launcher") == "slurm":
        yield from rank_claims({**_mapping(setup.trees.get("srun")), **environ}, "srun", _TASKS)
    elif "xtuner" in setup.launchers and not setup.assumed:
        yield from rank_claims({"NPROC_PER_NODE": "1", **environ}, "environ", _RANKS)


def _dead(cfg: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Variables whose values stand in the fields that are read, and the second name of a class."""
    for name, value in cfg.items():
        if name in READ:
            yield from _classes(value, ("cfg", str(name)))
        else:
            yield ("cfg", str(name))


def _classes(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if not isinstance(value, Mapping):
        return
    if set(value) == {"name", "class"}:
        yield (*path, "class")
    for name, inner in value.items():
        yield from _classes(inner, (*path, str(name)))


def _implied(
    setup: Setup, flags: Mapping[str, Any], cfg: Mapping[str, Any], claims: list[Claim]
) -> dict[str, Any]:
    """What rendering must know of a config that it cannot see, and of a set-up that trains already."""
    name, found = flags.get("config"), dict[str, Any]()
    said = {claim.path: claim.value for claim in claims}
    if said.get("zero.stage") == 3 and "finetuning.quantization_bits" in said:
        found["accepts"] = [codes.QLORA_ZERO3.code]
    if isinstance(name, str) and setup.files.has(name) and cfg:
        found["shape"] = difference(cfg)
    return found


def _told(setup: Setup, flags: Mapping[str, Any], view: View) -> Iterator[Diagnostic]:
    if setup.assumed and not view.way and not view.trainer:
        message = f"no DeepSpeed file is named: {flags.get('config')} is read as trained without DeepSpeed"
        hint = "Give the file too, or the command: -- xtuner train CONFIG --deepspeed deepspeed_zero2"
        yield codes.NO_DEEPSPEED(message, hint=hint)


def _stops(trees: Mapping[str, Any]) -> Iterator[Diagnostic]:
    """What XTuner refuses to read."""
    for name in ("flags", "config", "options", "dsfile"):
        problem = _mapping(_mapping(trees.get(name)).get("problem"))
        if problem:
            what = ": ".join(str(part) for part in (problem.get("type"), problem.get("message")) if part)
            yield codes.STOPS(f"XTuner stops: {what}", hint="`dsbridge explain` shows where.")
    if _mapping(trees.get("config")).get("missing"):
        yield codes.STOPS("XTuner stops: neither a file nor a config that comes with it")
