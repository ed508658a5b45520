"""What `accelerate launch` gives to a script of the Trainer's: ranks, number format, DeepSpeed, FSDP.

A DeepSpeed config that the launcher makes or names is read as if TrainingArguments had been given it: the
Trainer fills its "auto" and compares its numbers in the same way. FSDP becomes `fsdp:` of the spec. What can
be said in neither way is refused: without it a sharded run would become a plain one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from dsbridge.rulebook import Reading, Setup, lookup
from dsbridge.sdk import Claim, Diagnostic, Draft, InputError, Source, cluster_claims, leaves_of
from dsbridge_trainer import codes, parse_fsdp, table
from dsbridge_trainer.fsdp import words_of

if TYPE_CHECKING:
    from dsbridge_accelerate.made import Made

MADE = "made"  # the tree of the config that is in no file
_WORDS = {"fp16": "fp16", "bf16": "bf16", "fp8": "fp8"}
_TRUE = ("y", "yes", "t", "true", "on", "1")
# where ranks meet unless told: nobody's wish, and rendering asks the environment
UNASKED = {"launch.master_addr": "127.0.0.1", "launch.master_port": "29500"}
# keys that say nothing with these values, and those that are for another machine or for nothing at all
FORM: Mapping[str, tuple[Any, ...]] = {
    "compute_environment": ("LOCAL_MACHINE",),
    "distributed_type": ("MULTI_GPU",),
    "rdzv_backend": ("static",),
    "same_network": (True,),
    "use_cpu": (False,),
    "debug": (False,),
    "main_training_function": ("main",),
    "downcast_bf16": ("no", False),
    "tpu_use_cluster": (False,),
    "tpu_use_sudo": (False,),
    "tpu_env": ([],),
    "enable_cpu_affinity": (False,),
    "dynamo_backend": ("NO", "no", False),
    "gpu_ids": ("all",),
}
_STARTS = ("deepspeed_multinode_launcher", "deepspeed_hostfile", "deepspeed_exclusion_filter",
           "deepspeed_inclusion_filter")  # fmt: skip
Key = tuple[str, ...]


class Around(NamedTuple):
    """The launcher's part, and the DeepSpeed config that training gets: None without DeepSpeed."""

    draft: Draft
    ds: Mapping[str, Any] | None


class _Run(NamedTuple):
    """A command, with the arguments of its program. tree: the launcher's YAML with the flags in it.

    own: the arguments bring a DeepSpeed config. word: the number format of the environment.
    """

    setup: Setup
    reading: Reading
    given: Mapping[str, Any]
    tree: str
    top: Mapping[str, Any]
    kind: str
    own: bool
    word: str

    def key(self, *path: str) -> Key:
        return (self.tree, *path)

    def section(self, name: str) -> Mapping[str, Any]:
        found = self.top.get(name)
        return found if isinstance(found, Mapping) else {}


def around(setup: Setup, reading: Reading, given: Mapping[str, Any]) -> Around:
    """What the launcher says. given: TrainingArguments, with what TRL's class fills in.

    Raises:
        InputError: sharding that the spec cannot say.
    """
    ds = reading.trees.get("ds")
    config = ds if isinstance(ds, Mapping) else None
    if "launch" not in reading.trees and not any(name.startswith("ACCELERATE_") for name in setup.environ):
        return Around(Draft(tuple(cluster_claims(setup, reading))), config)
    from dsbridge_accelerate.made import asks, made

    run = _run(setup, reading, given)
    deepspeed = asks(reading.trees, setup.environ)
    check_both(setup, reading, given)
    _check_sizes(run)
    if not deepspeed:
        return Around(_outside(run, config), config)
    if run.own and config is None:
        return Around(_outside(run, None), None)  # PA007 tells of the file that cannot be read
    found = made(reading.trees, setup.environ, ds, own=run.own)
    if found is None:
        named = run.section("deepspeed_config").get("deepspeed_config_file", "the DeepSpeed config")
        hint = "Give the command where the file is, or correct the path."
        raise _refusal(reading, f"`{named}` cannot be read: what it says of the sharding would be lost", hint)
    blocks = dict(_precision_block(run, found.config))
    config = {**found.config, **blocks}
    outside, mine = _outside(run, config), _in_config(run, found, config)
    both = outside._replace(
        claims=(*outside.claims, *mine.claims),
        consumed=outside.consumed | mine.consumed,
        lost={**mine.lost, **outside.lost},
    )
    if config == ds:
        return Around(both, ds)
    stands_for = dict(_stands_for(run, found, config))
    return Around(both._replace(trees={MADE: config}, stands_for=stands_for), config)


def renamed(draft: Draft, made: bool) -> Draft:
    """Leaves of "ds" under the name of the tree that is parsed in its place."""
    if not made:
        return draft

    def key(old: Key) -> Key:
        return (MADE, *old[1:]) if old[0] == "ds" else old

    homes = {name: home for name, home in draft.homes.items() if name != "ds"} | {MADE: "deepspeed"}
    return draft._replace(
        claims=tuple(claim._replace(keys=tuple(map(key, claim.keys))) for claim in draft.claims),
        homes=homes,
        consumed=frozenset(map(key, draft.consumed)),
        lost={key(old): why for old, why in draft.lost.items()},
    )


def _run(setup: Setup, reading: Reading, given: Mapping[str, Any]) -> _Run:
    trees = reading.trees
    tree = "asked" if "asked" in trees else "yaml"
    top, launch = trees.get(tree) or {}, trees.get("launch") or {}
    word = launch.get("mixed_precision", setup.environ.get("ACCELERATE_MIXED_PRECISION", "no"))
    kind = str(launch.get("kind", ""))
    return _Run(setup, reading, given, tree, top, kind, bool(given.get("deepspeed")), str(word).lower())


_ONCE = "Say it in one place: in the launcher's YAML, or in the program's own arguments."
_WITHOUT = "Take it out, or migrate the launcher's YAML by itself."


def _refusal(reading: Reading, why: str, hint: str = _ONCE) -> InputError:
    name = (reading.trees.get("launch") or {}).get("config_file")
    at = Source(str(name)) if name else None
    return InputError([codes.NOT_CARRIED(f"under `accelerate launch` {why}", hint=hint, at=at)])


def check_both(setup: Setup, reading: Reading, given: Mapping[str, Any]) -> None:
    """The launcher and the program's arguments each ask for sharding.

    Raises:
        InputError: by two ways at once.
    """
    from dsbridge_accelerate.made import asks

    kind = (reading.trees.get("launch") or {}).get("kind")
    fsdp = kind == "fsdp" or setup.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"
    deepspeed = asks(reading.trees, setup.environ)
    if fsdp and (deepspeed or given.get("deepspeed") or given.get("fsdp")):
        raise _refusal(reading, "FSDP is asked for, and sharding by the program's arguments too")
    if deepspeed and given.get("fsdp"):
        raise _refusal(reading, "DeepSpeed is asked for, and FSDP by the program's arguments")
    if fsdp and kind != "fsdp":
        raise _refusal(reading, "FSDP is asked for by the environment alone, which is not read")


def check_version(reading: Reading, found: Draft) -> None:
    """The launcher's YAML asks for FSDP, and nothing of it was understood.

    Raises:
        InputError: its version is neither 1 nor 2.
    """
    if not any(claim.path == "fsdp.version" for claim in found.claims):
        raise _refusal(
            reading, "FSDP is asked for in a version that is neither 1 nor 2", "Write `fsdp_version: 2`."
        )


def _check_sizes(run: _Run) -> None:
    """`parallelism_config` splits tensors or sequences, or shards by other groups."""
    for name, value in run.section("parallelism_config").items():
        if str(name).endswith("_size") and value not in (None, 1, "1"):
            why = f"`parallelism_config: {{{name}: {value}}}` is asked for, which has no place in the spec"
            raise _refusal(run.reading, why, _WITHOUT)


def _outside(run: _Run, config: Mapping[str, Any] | None) -> Draft:
    """Ranks, FSDP and number format, and the YAML's other keys."""
    if "accelerate launch" not in run.setup.launchers:
        claims = [*cluster_claims(run.setup, run.reading), *_precision(run, config)]
        return Draft(tuple(claims))
    from dsbridge_accelerate.parse import launched

    found = launched(run.setup, run.reading)
    # what the YAML leaves unsaid is Accelerate's, and the Trainer's own is another
    claims = [*found.claims, *(Claim(path, value) for path, value in found.silent.items())]
    if run.kind == "fsdp":
        check_version(run.reading, found)
    usual = [claim for claim in claims if UNASKED.get(claim.path) == str(claim.value)]
    claims = [claim for claim in claims if claim not in usual]
    claims += _precision(run, config)
    consumed = {*found.consumed, *_form(run)}.union(*(claim.keys for claim in usual))
    if "module" in (run.reading.trees.get("flags") or {}):
        consumed.add(("flags", "module"))  # how the program is named
    lost = {**found.lost, **dict(_lost(run))}
    homes = {name: "" if home == "own" else home for name, home in found.homes.items()}
    implied, told = _older(run, claims)
    return Draft(tuple(claims), homes, frozenset(consumed), lost, implied, diagnostics=told)


def _older(run: _Run, claims: Iterable[Claim]) -> tuple[dict[str, Any], tuple[Diagnostic, ...]]:
    """Older Transformers read the words of `fsdp`, so rendering writes them; and there are words for less.

    Recorded with 4.51.3 in tests/recorded/fsdp/hf-old.json.
    """
    said = {claim.path[5:]: claim.value for claim in claims if claim.path.startswith("fsdp.")}
    version = table.of(run.setup.versions)
    if not said or parse_fsdp.has_switch(version):
        return {}, ()
    if said["version"] == 2 and not parse_fsdp.is_versioned(version):
        raise _refusal(
            run.reading, f"FSDP 2 is asked for, which no argument of Transformers {version} says", _WITHOUT
        )
    told: tuple[Diagnostic, ...] = ()
    if said["state_dict_type"] != "full_state_dict":
        word = str(said["state_dict_type"]).upper()
        message = f"`fsdp_state_dict_type: {word}` is no argument of Transformers {version}"
        hint = f"Set FSDP_STATE_DICT_TYPE={word} in the environment of the rendered launch."
        told = (codes.FSDP_VERSION(message, hint=hint, key="fsdp.state_dict_type"),)
    return {"fsdp": " ".join(words_of(said))}, told


def _form(run: _Run) -> Iterator[Key]:
    """Keys that say nothing."""
    for name, value in run.top.items():
        if value is None or value in ({}, []) or value in FORM.get(name, ()):
            yield run.key(str(name))
    dynamo = run.section("dynamo_config")
    if str(dynamo.get("dynamo_backend", "no")).lower() == "no":
        yield from (run.key("dynamo_config", str(name)) for name in dynamo)
    if str(run.top.get("mixed_precision")).lower() in (_said(run) or "no", "false"):
        yield run.key("mixed_precision")  # the arguments say as much, or nobody says anything
    if run.top.get("num_machines", 1) in (None, 0, 1):
        yield run.key("same_network")
        yield from (run.key("deepspeed_config", name) for name in _STARTS)
    for kind in ("deepspeed", "fsdp"):
        if run.kind != kind:  # a section that the launcher does not look at
            yield from (run.key(f"{kind}_config", str(name)) for name in run.section(f"{kind}_config"))


def _lost(run: _Run) -> Iterator[tuple[Key, str]]:
    said = _said(run)
    if said and run.word != said:
        yield run.key("mixed_precision"), "gives way to the program's own arguments"
    elif run.own and not said:
        yield run.key("mixed_precision"), "gives way to the DeepSpeed config of the program's own arguments"
    for name in _STARTS:
        yield run.key("deepspeed_config", name), "is not written: launch.sh is started on every node"
    if run.own:
        why = "gives way to the DeepSpeed config of the program's own arguments"
        yield run.key("deepspeed_config", "deepspeed_config_file"), why
    if run.kind == "deepspeed":
        for name in ("offload_optimizer_nvme_path", "offload_param_nvme_path"):
            yield run.key("deepspeed_config", name), "is not handed on by `accelerate launch`"


def _said(run: _Run) -> str:
    """The number format that the arguments ask for, in Accelerate's word."""
    rows = (("fp16", "fp16"), ("bf16", "bf16"), ("pure_bf16", "bf16"), ("fp8", "fp8"))
    return next((word for name, word in rows if run.given.get(name)), "")


def _precision(run: _Run, config: Mapping[str, Any] | None) -> Iterator[Claim]:
    """The environment's, where the arguments say none: transformers 5.23.0 training_args.py:1614.

    A DeepSpeed config of the launcher's has it as a block, which the Trainer compares with the arguments.
    """
    if _said(run) or run.word not in _WORDS:
        return
    if config is not None and (not run.own or run.word in config) and run.word != "fp8":
        return
    name = "mixed_precision" if "mixed_precision" in run.top else "fp16"
    yield Claim("precision.dtype", run.word, (run.key(name),) if name in run.top else ())


def _precision_block(run: _Run, config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """accelerate 1.15.0 utils/dataclasses.py:1422: a block that is missing is made."""
    word = _said(run) or run.word
    if not run.own and word in ("fp16", "bf16") and word not in config:
        cast = {"auto_cast": True} if word == "fp16" else {}
        yield word, {"enabled": "auto" if _said(run) else True, **cast}


def _in_config(run: _Run, found: Made, config: Mapping[str, Any]) -> Draft:
    """Settings that the config has no key for, and those that its file overrules."""
    from dsbridge_accelerate.fields import FIELD_TO_DS

    consumed = {run.key("deepspeed_config", "deepspeed_config_file")} if not run.own else set()
    claims: list[Claim] = []
    key = run.key("deepspeed_config", "zero3_init_flag")
    said = run.section("deepspeed_config").get("zero3_init_flag")
    if said is None:
        said = run.setup.environ.get("ACCELERATE_DEEPSPEED_ZERO3_INIT", "false")
    if lookup(config, "zero_optimization.stage") == 3 and not run.own:
        claims.append(Claim("zero.init_on_load", str(said).lower() in _TRUE, (key,)))
    else:
        consumed.add(key)  # looked at with ZeRO-3 alone
    why = "does not reach DeepSpeed, whose config file says it or leaves it out"
    settings = {name for _, name in found.origins.values()}
    given = run.reading.trees.get("ds") is not None
    names = [name for name in run.section("deepspeed_config") if given and name in FIELD_TO_DS]
    lost = {run.key("deepspeed_config", name): why for name in names if name not in settings}
    return Draft(tuple(claims), consumed=frozenset(consumed), lost=lost)


def _stands_for(run: _Run, found: Made, config: Mapping[str, Any]) -> Iterator[tuple[Key, Key]]:
    """The user's key behind each leaf of the config."""
    ds = run.reading.trees.get("ds") or {}
    for leaf, _ in leaves_of(config, (MADE,)):
        tree, name = found.origins.get(".".join(leaf[1:]), ("", ""))
        if tree == "launch":
            yield leaf, run.key("deepspeed_config", name)
        elif tree:
            yield leaf, (tree, name)
        elif leaf[1] in ("bf16", "fp16") and leaf[1] not in ds:
            yield leaf, run.key("mixed_precision") if "mixed_precision" in run.top else ()
        else:
            yield leaf, ("ds", *leaf[1:]) if ds else ()
    if "gradient_clipping" in found.origins and "gradient_clipping" not in config:
        yield (MADE, "gradient_clipping"), run.key("deepspeed_config", "gradient_clipping")
