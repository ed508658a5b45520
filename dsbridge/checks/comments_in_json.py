"""Comments and trailing commas in a DeepSpeed config: DeepSpeed reads them, the Hugging Face tools do not."""

from __future__ import annotations

from collections.abc import Iterator

from dsbridge.diagnostics import Code, Diagnostic, Severity
from dsbridge.provenance import Source
from dsbridge.rules import Evidence
from dsbridge.subjects.contract import Check, Example
from dsbridge.subjects.subject import Subject

COMMENTS = Code("CK120", "comments-in-json", Severity.ERROR, "The JSON has comments or trailing commas.")
_NOTE = 'Write it without; for a note, a key such as "_comment" is let through by all of them.'


def _run(subject: Subject) -> Iterator[Diagnostic]:
    ds = subject.ds
    if ds is None or not ds.loose or subject.unit.part or ds.document is None:
        return
    where = _first(ds.plain, subject.unit.files.text(ds.file), ds.file)
    if subject.strict is not None and not _refused(subject):
        return  # DeepSpeed itself reads it
    if subject.framework:
        title = subject.input.framework.title if subject.input else ""
        message = (
            f"{title} reads this file with Python's json module, which stops at comments and trailing commas"
        )
        yield COMMENTS(message, hint=_NOTE, at=where)
    else:
        message = (
            "comments or trailing commas: deepspeed.initialize reads them, Transformers and Accelerate stop"
        )
        yield COMMENTS(message, hint=_NOTE, at=where, severity=Severity.WARNING)


def _refused(subject: Subject) -> bool:
    refused = subject.strict.result.refused if subject.strict else None
    return refused is not None and (
        "JSONDecodeError" in refused.type or "base64" in refused.message or refused.rule.code in EXPLAINED
    )


def _first(plain: str, text: str, file: str) -> Source:
    """The first letter that had to go."""
    index = next((i for i, (a, b) in enumerate(zip(text, plain, strict=False)) if a != b), 0)
    line = text.count("\n", 0, index) + 1
    return Source(file, line, index - (text.rfind("\n", 0, index) + 1) + 1)


EXPLAINED = ("ACC151", "LF331")
_COMMAND = "torchrun --nproc_per_node 2 train.py --output_dir out --deepspeed ds.json"
_DS = '{\n  "train_micro_batch_size_per_gpu": "auto",%s\n  "zero_optimization": {"stage": 2}\n}\n'

CHECKS = (
    Check(
        code=COMMENTS,
        run=_run,
        why="The config is read by three readers. DeepSpeed's takes hjson; those of Transformers and "
        "Accelerate are strict, and the job stops before training.",
        hint="Take the comments out, or put them under keys such as `_comment`, which nobody reads.",
        fires=Example({"ds.json": _DS % "  // filled by the Trainer"}, _COMMAND),
        holds=Example({"ds.json": _DS % '\n  "_comment": "filled by the Trainer",'}, _COMMAND),
        evidence=(
            Evidence(
                "accelerate", "1.15.0", "utils/deepspeed.py", "143",
                "config = json.load(f)", "trainer/json/comment",
            ),
        ),
        explains=EXPLAINED,
    ),
)  # fmt: skip
