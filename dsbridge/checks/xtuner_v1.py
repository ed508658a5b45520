"""A config of XTuner's V1 line, given to XTuner 0.2."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.provenance import Source
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject
from dsbridge.subjects.tensor import program

V1 = Code("CK540", "xtuner-v1-config", Severity.ERROR, "XTuner's V1 line has no DeepSpeed.")
_IMPORT = "xtuner.v1"


def _run(subject: Subject) -> Iterator[Diagnostic]:
    if subject.framework != "xtuner" or subject.input is None:
        return
    text = program(subject)
    if _IMPORT not in text:
        return
    setup = subject.input.setup
    name = next((word for word in (*setup.words.items, *setup.given) if word.endswith(".py")), "")
    version = subject.versions.get("xtuner", "0.2.0")
    at = Source(name, text[: text.index(_IMPORT)].count("\n") + 1)
    if setup.given and not any(word.endswith(".json") for word in setup.given):
        yield V1(
            f"{name} is a config of XTuner V1, which trains with FSDP and reads no DeepSpeed config: nothing "
            f"in it reaches DeepSpeed, and `xtuner train` of XTuner {version} cannot read it",
            hint="V1 says sharding in fsdp_cfg; a config of XTuner 0.1 or 0.2 trains with DeepSpeed.",
            at=at,
            severity=Severity.WARNING,
        )
        return
    deepspeed = setup.given or any(word.startswith("--deepspeed") for word in setup.whole)
    also = "; V1 trains with FSDP and reads no DeepSpeed config" if deepspeed else ""
    yield V1(
        f"{name} imports xtuner.v1, which XTuner {version} does not have{also}",
        hint="Start it with V1's own program (torchrun ... xtuner/v1/train/cli/sft.py --config FILE) and say "
        "sharding in fsdp_cfg; or write a config of XTuner 0.1 or 0.2 for DeepSpeed.",
        at=at,
    )


_CONFIG = """from xtuner.v1.config import FSDPConfig
from xtuner.v1.train import TrainerConfig
trainer = TrainerConfig(fsdp_cfg=FSDPConfig(), load_from="m")
"""
_OWN = """from torch.optim import AdamW
optim_wrapper = dict(optimizer=dict(type=AdamW, lr=1e-4))
train_dataloader = dict(batch_size=1)
"""
_RUN = "xtuner train config.py --deepspeed deepspeed_zero2"
CHECKS = (
    Check(
        code=V1,
        run=_run,
        why="XTuner 0.2 cannot import the config, and V1 has no place for a DeepSpeed config.",
        hint="V1 and 0.2 are two programs with two kinds of config.",
        fires=Example({"config.py": _CONFIG}, _RUN),
        holds=Example({"config.py": _OWN}, _RUN),
        pains=(30,),
        explains=("DS148", "DS152", "DS200", "XT105", "XT110", "XT120", "XT124", "XT125", "XT127", "XT142"),
    ),
)
