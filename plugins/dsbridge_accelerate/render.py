"""The target `accelerate`: accelerate_config.yaml, perhaps ds_config.json, and launch.sh."""

from __future__ import annotations

from dsbridge.sdk import Rendered, RenderRequest, YamlEdit, finish_launch, unsupported
from dsbridge_accelerate import launch
from dsbridge_accelerate.deepspeed import STYLE_KEY, deepspeed_section
from dsbridge_accelerate.files import edit_yaml, new_yaml, read_base
from dsbridge_accelerate.fsdp import fsdp_section
from dsbridge_accelerate.own import merge_own
from dsbridge_accelerate.plain import is_plain, plain_section
from dsbridge_accelerate.script import script_findings
from dsbridge_accelerate.section import Section, under
from dsbridge_accelerate.ulysses import ulysses_section

YAML = "accelerate_config.yaml"
_OTHER_SECTION = "it is for another distributed_type"


def render(request: RenderRequest) -> Rendered:
    """Everything Accelerate can be told outside the script; the rest as lines for the script."""
    edit, base = read_base(request.base) if request.base else (None, {})
    section = launch.cluster_section(request)
    config = None
    if under(request.values, "fsdp."):
        section.add(fsdp_section(request))
        section.removed |= dict.fromkeys(("deepspeed_config", "megatron_lm_config"), _OTHER_SECTION)
    elif is_plain(request, base):
        section.add(plain_section(request))
    else:
        part, built = deepspeed_section(request, base)
        config = built.config
        section.add(part)
        section.add(ulysses_section(request))
        section.removed |= dict.fromkeys(("fsdp_config", "megatron_lm_config"), _OTHER_SECTION)
    merge_own(section, request.own())
    by_file = config is not None and STYLE_KEY in section.said
    claimed, found = script_findings(request, config, by_file)
    section.claimed |= claimed
    section.found += found
    _experts(request, section)
    return _files(request, section, edit, base)


def _experts(request: RenderRequest, section: Section) -> None:
    ep = request.spec.parallelism.ep
    section.claimed.add("parallelism.ep")
    if ep and ep > 1:
        reason = "Accelerate has no such degree; the model's own layers place its experts"
        section.found.append(unsupported("parallelism.ep", ep, reason, "Pass it to them in your script."))


def _files(
    request: RenderRequest, section: Section, edit: YamlEdit | None, base: dict[str, object]
) -> Rendered:
    name = request.base.name if request.base else YAML
    if edit is not None:
        text = edit_yaml(edit, base, section, request.header())
    else:
        text = new_yaml(section, request.header())
    kept = {key: value for key, value in base.items() if key not in section.removed}
    script = str(request.spec.launch.script or "train.py")
    notes = [f"{script} is yours: it makes an Accelerator() and calls accelerator.prepare(...)"]
    start = launch.make(request, name, {**kept, **section.said}, section, notes)
    files = {name: text, **section.files}
    started = finish_launch(request, start, files)
    claimed = frozenset(section.claimed & request.values.keys()) | started.claimed
    return Rendered(
        {**files, **started.files}, started.launch, claimed, (*section.found, *started.diagnostics)
    )
