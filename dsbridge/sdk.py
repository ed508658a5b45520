"""Everything a plugin may use: a plugin imports from here, and from no other dsbridge module."""

from dsbridge.artifacts import Artifacts
from dsbridge.deepspeed.arguments import Arguments, read_arguments
from dsbridge.deepspeed.config import DsConfig, auto_left_out, ds_config, ds_key_of
from dsbridge.deepspeed.dialect import Dialect
from dsbridge.deepspeed.optimizer import owner_is_deepspeed as optimizer_by_deepspeed
from dsbridge.deepspeed.scheduler import owner_is_deepspeed as scheduler_by_deepspeed
from dsbridge.deepspeed.target import to_json
from dsbridge.diagnostics import Code, Diagnostic, InputError, Severity
from dsbridge.fields import SAME, Codec, Fidelity, Field, Placed, nest, place, show, unsupported
from dsbridge.formats.yaml_edit import YamlEdit
from dsbridge.formats.yaml_text import to_yaml
from dsbridge.framework import Base, Framework, Launch, Rendered, RenderRequest
from dsbridge.hookspecs import hookimpl
from dsbridge.launch.script import (
    Variable,
    Word,
    make_launch,
    master_addr,
    master_port,
    node_rank,
    torchrun_words,
)
from dsbridge.provenance import Source
from dsbridge.spec import ParallelSpec
from dsbridge.spec.batch import BatchNumbers, Dims, batch_numbers, dims
from dsbridge.spec.setting import changed
from dsbridge.values import AUTO, UNSET

__all__ = [
    "AUTO",
    "SAME",
    "UNSET",
    "Arguments",
    "Artifacts",
    "Base",
    "BatchNumbers",
    "Code",
    "Codec",
    "Diagnostic",
    "Dialect",
    "Dims",
    "DsConfig",
    "Fidelity",
    "Field",
    "Framework",
    "InputError",
    "Launch",
    "ParallelSpec",
    "Placed",
    "RenderRequest",
    "Rendered",
    "Severity",
    "Source",
    "Variable",
    "Word",
    "YamlEdit",
    "auto_left_out",
    "batch_numbers",
    "changed",
    "dims",
    "ds_config",
    "ds_key_of",
    "hookimpl",
    "make_launch",
    "master_addr",
    "master_port",
    "nest",
    "node_rank",
    "optimizer_by_deepspeed",
    "place",
    "read_arguments",
    "scheduler_by_deepspeed",
    "show",
    "to_json",
    "to_yaml",
    "torchrun_words",
    "unsupported",
]
