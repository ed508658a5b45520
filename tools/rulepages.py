"""The reference pages that come from the rules and the recordings: overrides, facts, accuracy."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dsbridge.cli.rulepage import all_layers, effect, facts_used, phase_of, plain, versions_text
from dsbridge.language import describe
from dsbridge.rules import Layer, OverrideRule

ROOT = Path(__file__).parent.parent
RECORDED = ROOT / "tests" / "recorded" / "effective"
# What each fact means, and the flag that says it. A test compares the names with the rules.
FACTS = {
    "world_size": ("all ranks of the run", "--world-size N"),
    "local_world_size": ("ranks of one node", "--fact local_world_size=N"),
    "gpus": ("GPUs that this machine shows, for launchers that count them", "--fact gpus=N"),
    "bf16_supported": ("the GPU has bf16 (assumed)", "--bf16 or --no-bf16"),
    "fp16_supported": ("the GPU has fp16 (assumed)", "--fact fp16_supported=false"),
    "num_training_steps": ("optimizer steps of the whole run", "--num-training-steps N"),
    "hidden_size": ("the model's hidden size", "--model PATH or --fact hidden_size=N"),
    "fp8_available": ("a package for fp8 is installed", "--fact fp8_available=true"),
    "msamp_available": ("MS-AMP is installed", "--fact msamp_available=true"),
    "mpi4py_installed": ("mpi4py is installed, for runs without a launcher", "--fact mpi4py_installed=true"),
    "bitsandbytes_installed": ("bitsandbytes is installed", "--fact bitsandbytes_installed=true"),
    "flash_attn": ("flash_attn is installed", "--fact flash_attn=true"),
    "has_unsloth": ("unsloth is installed", "--fact has_unsloth=true"),
    "has_liger_kernel": ("liger_kernel is installed", "--fact has_liger_kernel=true"),
    "has_badam": ("badam is installed", "--fact has_badam=true"),
    "has_adam_mini": ("adam_mini is installed", "--fact has_adam_mini=true"),
    "has_kt_kernel": ("kt-kernel is installed", "--fact has_kt_kernel=true"),
    "has_mixture_of_depth": ("mixture-of-depth is installed", "--fact has_mixture_of_depth=true"),
    "has_swanlab": ("swanlab is installed", "--fact has_swanlab=true"),
    "has_hqq": ("hqq is installed", "--fact has_hqq=true"),
    "has_eetq": ("eetq is installed", "--fact has_eetq=true"),
    "has_jieba": ("jieba is installed", "--fact has_jieba=true"),
    "moe_layers_found": ("the model has the MoE layers that are named", "--fact moe_layers_found=true"),
    "scheduler_class": ("the class of a scheduler that is made elsewhere", "--fact scheduler_class=NAME"),
}


def layers() -> list[Layer]:
    """All layers, each once."""
    return all_layers(None)


def overrides_page(layer: Layer, stamp: str) -> str:
    """One layer: a table of its rules, then each in full."""
    lines = [stamp, f"# What `{layer.name}` does to a DeepSpeed config", ""]
    for package, versions in layer.verified.items():
        lines.append(f"Recorded with {package} {', '.join(versions)}.")
    lines += ["", f"{len(layer.rules)} rules, in the order in which they happen.", ""]
    lines += ["| code | phase | what | loudness | versions |", "|--|--|--|--|--|"]
    ordered = list(_in_order(layer))
    for rule in ordered:
        row = (rule.code, phase_of(layer, rule), cell(rule.title), rule.loudness.name.lower())
        lines.append(f"| {' | '.join(row)} | {versions_text(rule)} |")
    for rule in ordered:
        lines += ["", *_section(layer, rule)]
    return "\n".join(lines) + "\n"


def _in_order(layer: Layer) -> Iterator[OverrideRule]:
    for moment in layer.moments:
        yield from (rule for rule in layer.rules if rule.moment == moment.name)


def _section(layer: Layer, rule: OverrideRule) -> list[str]:
    moment = next(m for m in layer.moments if m.name == rule.moment)
    lines = [f"## {rule.code}: {rule.title}", "", f"{_sentence(effect(rule))}", ""]
    lines += [f"- when: {describe(rule.when)}", f"- where: {moment.title} ({moment.phase.name.lower()})"]
    lines += [f"- why: {rule.why}"]
    if rule.hint:
        lines.append(f"- what to do: {rule.hint}")
    lines += [f"- versions: {versions_text(rule)}", f"- loudness: {rule.loudness.name.lower()}"]
    for proof in rule.evidence:
        place = f"{proof.package} {proof.version}, `{proof.file}:{proof.lines}`"
        lines.append(f"- proof: {place}: `{proof.quote.strip()}`; recorded in `{proof.recorded}`")
    return [*lines, f"- acts on `{json.dumps(plain(rule.fires))}`, not on `{json.dumps(plain(rule.holds))}`"]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def cell(text: str) -> str:
    """For a table."""
    return text.replace("|", "\\|")


def facts_page(stamp: str) -> str:
    """Every fact that a rule asks for."""
    lines = [stamp, "# Facts", "", "What only a run knows. `explain` takes them from the input where it can;"]
    lines += ["these flags override it. Any place of the input that cannot be read can be given too, by the"]
    lines += ["name that the message says: `--fact prepared.loaders.0.batch_size=4`.", ""]
    lines += ["| fact | meaning | flag | rules that ask for it |", "|--|--|--|--|"]
    for name, codes in sorted(facts_used().items()):
        meaning, flag = FACTS[name]
        shown = ", ".join(codes[:6]) + (f" and {len(codes) - 6} more" if len(codes) > 6 else "")
        lines.append(f"| `{name}` | {meaning} | `{flag}` | {shown} |")
    return "\n".join(lines) + "\n"


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def accuracy_page(stamp: str, memory: str) -> str:
    """What was recorded, and how the predictions did on set-ups never seen before; memory: that section."""
    lines = [
        stamp,
        "# Accuracy",
        "",
        "Of configs, and behind that of [memory of a GPU](#memory-of-a-gpu).",
        "",
    ]
    lines += [
        "Every recorded run of a real framework is predicted: the dict key by key, or the error's type,"
    ]
    lines += ["message and fields. The fast tests replay all of them (`tests/test_predictions.py`).", ""]
    lines += ["| framework | environment | versions | cases | initialized | refused | without DeepSpeed |"]
    lines += ["|--|--|--|--|--|--|--|"]
    needy: list[str] = []
    total = 0
    for path in sorted(RECORDED.glob("*/*.jsonl"), key=lambda p: (p.stem, p.parent.name)):
        rows = _rows(path)
        seen = Counter(row["observed"]["outcome"] for row in rows)
        versions = ", ".join(f"{k} {v}" for k, v in rows[0]["versions"].items() if k not in ("torch", "peft"))
        counts = f"{len(rows)} | {seen['initialized']} | {seen['error']} | {seen['unused']}"
        lines.append(f"| {path.stem} | {path.parent.name} | {versions} | {counts} |")
        total += len(rows)
        needy += [
            f"| `{row['id']}` | {path.parent.name} | {', '.join(f'`{n}`' for n in row['facts'])} |"
            for row in rows
            if row["facts"]
        ]
    lines += ["", f"{total} cases in all.", "", *_fresh()]
    lines += ["## Cases that need a fact", ""]
    lines += [
        "What these depend on is in no file: the prediction says Unknown and names the fact, and is exact"
    ]
    lines += [f"once it is given. {len(needy)} of the recorded cases:", ""]
    return "\n".join([*lines, "| case | environment | facts |", "|--|--|--|", *needy, "", memory])


def _fresh() -> list[str]:
    path = RECORDED / "fresh.jsonl"
    if not path.is_file():
        return []
    lines = ["## Fresh cases", ""]
    lines += [
        "Set-ups made with a new seed, predicted first and run after. Those that were wrong have become"
    ]
    lines += ["recorded cases.", "", "| date | framework | environment | seed | cases | predicted |"]
    lines += ["|--|--|--|--|--|--|"]
    for row in _rows(path):
        values = (row["date"], row["framework"], row["env"], row["seed"], row["cases"], row["predicted"])
        lines.append(f"| {' | '.join(str(value) for value in values)} |")
    return [*lines, ""]
