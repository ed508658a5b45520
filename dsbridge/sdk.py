"""Everything a plugin may use: a plugin imports from here, and from no other dsbridge module.

Each name is imported when a plugin asks for it: one that only declares its framework pays for no more.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dsbridge.artifacts import Artifacts
    from dsbridge.claims import Claim, Draft, joined, leaves_of
    from dsbridge.deepspeed.config import (
        DsConfig,
        asks_for_deepspeed,
        auto_left_out,
        ds_config,
        ds_key_of,
        ds_path_of,
    )
    from dsbridge.deepspeed.dialect import Dialect
    from dsbridge.deepspeed.optimizer import owner_is_deepspeed as optimizer_by_deepspeed
    from dsbridge.deepspeed.parsing import OPTIMIZERS as DS_OPTIMIZERS
    from dsbridge.deepspeed.parsing import (
        cluster_claims,
        config_claims,
        default_clipping,
        rank_claims,
        script_claims,
    )
    from dsbridge.deepspeed.rendering import to_json
    from dsbridge.deepspeed.scheduler import ALONE as DS_SCHEDULER_ALONE
    from dsbridge.deepspeed.scheduler import alone as ds_scheduler_alone
    from dsbridge.deepspeed.scheduler import owner_is_deepspeed as scheduler_by_deepspeed
    from dsbridge.deepspeed.scheduler_parsing import scheduler_claims
    from dsbridge.diagnostics import Code, Diagnostic, Edit, Fix, InputError, Severity
    from dsbridge.fields import (
        SAME,
        Codec,
        Fidelity,
        Field,
        Placed,
        claimed_by,
        nest,
        place,
        show,
        unsupported,
    )
    from dsbridge.formats.arguments import Arguments, read_arguments
    from dsbridge.formats.yaml_edit import YamlEdit
    from dsbridge.formats.yaml_text import to_yaml
    from dsbridge.framework import Base, Framework, Launch, Rendered, RenderRequest
    from dsbridge.hookspecs import hookimpl
    from dsbridge.launch.nodes import (
        master_addr,
        master_port,
        node_rank,
    )
    from dsbridge.launch.script import Variable, Word, make_launch
    from dsbridge.launch.words import torchrun_words
    from dsbridge.planner.catalogue import Entry as ModelEntry
    from dsbridge.planner.cluster import Board, Gpu, Link
    from dsbridge.provenance import Source
    from dsbridge.rules import Evidence
    from dsbridge.spec import ParallelSpec
    from dsbridge.spec.batch import BatchNumbers, Dims, batch_numbers, dims
    from dsbridge.spec.setting import changed
    from dsbridge.subjects.contract import Check, Example
    from dsbridge.subjects.subject import Subject
    from dsbridge.values import AUTO, UNSET
    from dsbridge.vocabulary import (
        IGNORED,
        REFUSED,
        Argument,
        Life,
        Vocabulary,
        Written,
        flags_of,
        keys_of,
        life,
        vocabulary,
    )

# Where each name is, below `dsbridge.`; a test holds this to the imports above.
_WHERE = {
    "Artifacts": "artifacts",
    "Arguments": "formats.arguments",
    "read_arguments": "formats.arguments",
    "DsConfig": "deepspeed.config",
    "asks_for_deepspeed": "deepspeed.config",
    "ds_path_of": "deepspeed.config",
    "auto_left_out": "deepspeed.config",
    "ds_config": "deepspeed.config",
    "ds_key_of": "deepspeed.config",
    "Dialect": "deepspeed.dialect",
    "optimizer_by_deepspeed": "deepspeed.optimizer:owner_is_deepspeed",
    "scheduler_by_deepspeed": "deepspeed.scheduler:owner_is_deepspeed",
    "DS_SCHEDULER_ALONE": "deepspeed.scheduler:ALONE",
    "ds_scheduler_alone": "deepspeed.scheduler:alone",
    "scheduler_claims": "deepspeed.scheduler_parsing",
    "to_json": "deepspeed.rendering",
    "Code": "diagnostics",
    "Check": "subjects.contract",
    "Example": "subjects.contract",
    "Subject": "subjects.subject",
    "Evidence": "rules",
    "Diagnostic": "diagnostics",
    "Edit": "diagnostics",
    "Fix": "diagnostics",
    "InputError": "diagnostics",
    "Severity": "diagnostics",
    "Claim": "claims",
    "Draft": "claims",
    "joined": "claims",
    "leaves_of": "claims",
    "claimed_by": "fields",
    "config_claims": "deepspeed.parsing",
    "cluster_claims": "deepspeed.parsing",
    "rank_claims": "deepspeed.parsing",
    "script_claims": "deepspeed.parsing",
    "default_clipping": "deepspeed.parsing",
    "DS_OPTIMIZERS": "deepspeed.parsing:OPTIMIZERS",
    "Codec": "fields",
    "Fidelity": "fields",
    "Field": "fields",
    "Placed": "fields",
    "SAME": "fields",
    "nest": "fields",
    "place": "fields",
    "show": "fields",
    "unsupported": "fields",
    "YamlEdit": "formats.yaml_edit",
    "to_yaml": "formats.yaml_text",
    "Base": "framework",
    "Framework": "framework",
    "Launch": "framework",
    "RenderRequest": "framework",
    "Rendered": "framework",
    "hookimpl": "hookspecs",
    "Variable": "launch.script",
    "Word": "launch.script",
    "Joined": "launch.script",
    "make_launch": "launch.script",
    "ModelEntry": "planner.catalogue:Entry",
    "by_rendezvous": "launch.nodes",
    "elastic": "launch.nodes",
    "master_addr": "launch.nodes",
    "master_port": "launch.nodes",
    "node_rank": "launch.nodes",
    "rendezvous_id": "launch.nodes",
    "NO_RAY": "launch.start",
    "launch_environment": "launch.settings:environment",
    "refused_kind": "launch.start",
    "Start": "launch.start",
    "Started": "launch.start",
    "finish_launch": "launch.start:finish",
    "meeting": "launch.words",
    "torchrun": "launch.words",
    "torchrun_words": "launch.words",
    "deepspeed_launcher": "launch.words:deepspeed",
    "Board": "planner.cluster",
    "Gpu": "planner.cluster",
    "Link": "planner.cluster",
    "Source": "provenance",
    "ParallelSpec": "spec",
    "BatchNumbers": "spec.batch",
    "Dims": "spec.batch",
    "batch_numbers": "spec.batch",
    "dims": "spec.batch",
    "changed": "spec.setting",
    "AUTO": "values",
    "UNSET": "values",
    "Argument": "vocabulary",
    "Life": "vocabulary",
    "Vocabulary": "vocabulary",
    "IGNORED": "vocabulary",
    "REFUSED": "vocabulary",
    "life": "vocabulary",
    "Written": "vocabulary",
    "flags_of": "vocabulary",
    "keys_of": "vocabulary",
    "vocabulary": "vocabulary",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'dsbridge.sdk' has no attribute {name!r}")
    module, _, attribute = _WHERE[name].partition(":")
    found = globals()[name] = getattr(import_module(f"dsbridge.{module}"), attribute or name)
    return found


__all__ = [
    "AUTO",
    "DS_OPTIMIZERS",
    "DS_SCHEDULER_ALONE",
    "IGNORED",
    "REFUSED",
    "SAME",
    "UNSET",
    "Argument",
    "Arguments",
    "Artifacts",
    "Base",
    "BatchNumbers",
    "Board",
    "Check",
    "Claim",
    "Code",
    "Codec",
    "Diagnostic",
    "Dialect",
    "Dims",
    "Draft",
    "DsConfig",
    "Edit",
    "Evidence",
    "Example",
    "Fidelity",
    "Field",
    "Fix",
    "Framework",
    "Gpu",
    "InputError",
    "Launch",
    "Life",
    "Link",
    "ModelEntry",
    "ParallelSpec",
    "Placed",
    "RenderRequest",
    "Rendered",
    "Severity",
    "Source",
    "Subject",
    "Variable",
    "Vocabulary",
    "Word",
    "Written",
    "YamlEdit",
    "asks_for_deepspeed",
    "auto_left_out",
    "batch_numbers",
    "changed",
    "claimed_by",
    "cluster_claims",
    "config_claims",
    "default_clipping",
    "dims",
    "ds_config",
    "ds_key_of",
    "ds_path_of",
    "ds_scheduler_alone",
    "flags_of",
    "hookimpl",
    "joined",
    "keys_of",
    "leaves_of",
    "life",
    "make_launch",
    "master_addr",
    "master_port",
    "nest",
    "node_rank",
    "optimizer_by_deepspeed",
    "place",
    "rank_claims",
    "read_arguments",
    "scheduler_by_deepspeed",
    "scheduler_claims",
    "script_claims",
    "show",
    "to_json",
    "to_yaml",
    "torchrun_words",
    "unsupported",
    "vocabulary",
]
