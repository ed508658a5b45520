"""Bad input to explain: exit 2, one clear message with what to do, no traceback, nothing on stdout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest


class Bad(NamedTuple):
    """Arguments, the files there are, and what the message must say."""

    argv: tuple[str, ...]
    says: tuple[str, ...]
    files: dict[str, str | bytes] = {}  # noqa: RUF012 - never written to


RUN = ("explain", "--", "torchrun", "--nproc_per_node", "2")
BAD_SPEC = "version: 1\nzero: {stge: 2}\n"
SPEC = "version: 1\nzero: {stage: 2}\n"
CASES = {
    "nothing": Bad(("explain",), ("give files, or a launch command after `--`", "explain train.yaml")),
    "no-file": Bad(("explain", "gone.yaml"), ("gone.yaml", "No such file")),
    "folder": Bad(("explain", "."), ("is a folder",)),
    "binary": Bad(("explain", "a.yaml"), ("a.yaml", "is not UTF-8"), {"a.yaml": b"\xff\xfe\x00"}),
    "nul": Bad(("explain", "a.json"), ("NUL bytes",), {"a.json": b'{"a": "\x00"}'}),
    "empty": Bad(("explain", "a.yaml"), ("a.yaml", "not recognised"), {"a.yaml": ""}),
    "list": Bad(("explain", "a.yaml"), ("not recognised", "--target"), {"a.yaml": "- 1\n- 2\n"}),
    "text": Bad(("explain", "notes.txt"), ("notes.txt", "not recognised"), {"notes.txt": "hello"}),
    "huge": Bad(("explain", "a.yaml"), ("5,000,000 bytes",), {"a.yaml": b"a" * 5_000_000}),
    "yaml-syntax": Bad(("explain", "a.yaml"), ("a.yaml:2", "not valid YAML"), {"a.yaml": "a: 1\n b: [\n"}),
    "json-syntax": Bad(
        ("explain", "ds.json", "--target", "deepspeed"), ("ds.json",), {"ds.json": '{"zero_optimization": [}'}
    ),
    "json-deep": Bad(("explain", "ds.json"), ("ds.json",), {"ds.json": "[" * 5000}),
    "no-command": Bad(("explain", "--"), ("no program after `--`", "torchrun")),
    "only-environment": Bad(("explain", "--", "A=1", "B=2"), ("no program after `--`",)),
    "open-quote": Bad(("explain", "--", 'torchrun "train.py --a'), ("cannot be split into words",)),
    "not-a-launcher": Bad(("explain", "--", "ls", "-l"), ("`ls -l` is not a launcher", "torchrun")),
    "no-script": Bad(RUN, ("no framework recognises it",)),
    "absent-script": Bad((*RUN, "train.py"), ("train.py", "No such file")),
    "broken-script": Bad((*RUN, "t.py"), ("t.py:1", "not valid Python"), {"t.py": "def f(:\n"}),
    "endless-script": Bad((*RUN, "t.py"), ("nested too deep",), {"t.py": "def f():\n    f()\nf()\n"}),
    "plain-script": Bad((*RUN, "t.py"), ("no framework recognises it", "--target"), {"t.py": "print(1)\n"}),
    "script-folder": Bad((*RUN, "."), ("folder",)),
    "two-inputs": Bad(("explain", "a.yaml", "--", "ls"), ("files and a command",), {"a.yaml": "a: 1"}),
    "target": Bad(("explain", "a.yaml", "-t", "trainr"), ("trainr", "`trainer`"), {"a.yaml": "a: 1"}),
    "fact": Bad(("explain", "a.yaml", "--fact", "hidden_size"), ("--fact hidden_size: not NAME=VALUE",)),
    "versions": Bad(("explain", "a.yaml", "--versions", "deepspeed"), ("--versions deepspeed", "0.18.4")),
    "version-word": Bad(("explain", "a.yaml", "--versions", "deepspeed=new"), ("--versions deepspeed=new",)),
    "world": Bad(("explain", "a.yaml", "--world-size", "0"), ("--world-size",)),
    "world-word": Bad(("explain", "a.yaml", "--world-size", "two"), ("--world-size", "two")),
    "format": Bad(("explain", "a.yaml", "--format", "xml"), ("--format", "json")),
    "option": Bad(("explain", "a.yaml", "--feild", "x"), ("--feild", "--field")),
    "model": Bad(("explain", "a.yaml", "--model", "gone"), ("gone", "No such file"), {"a.yaml": "a: 1"}),
    "model-text": Bad(
        ("explain", "a.yaml", "--model", "m.json"),
        ("m.json", "not valid JSON"),
        {"a.yaml": "", "m.json": "x"},
    ),
    "spec-no-target": Bad(("explain", "d.yaml"), ("is a spec", "--target", "llamafactory"), {"d.yaml": SPEC}),
    "bad-spec": Bad(
        ("explain", "d.yaml", "-t", "trainer"),
        ("d.yaml:2", "stge"),
        {"d.yaml": "version: 1\nzero: {stge: 2}\n"},
    ),
    "rule": Bad(("rule", "DS9999"), ("no rule or diagnostic has the code DS9999",)),
    "rules": Bad(("rules", "--framework", "xtunr"), ("xtunr", "`xtuner`")),
    "verify-nothing": Bad(("verify",), ("give files, or a launch command",)),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input(
    name: str, dsbridge: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    for file, content in case.files.items():
        (tmp_path / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.chdir(tmp_path)
    outcome = dsbridge(*case.argv)
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    for part in case.says:
        assert part in outcome.err
    assert "internal error" not in outcome.err
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(case.files)


def test_there_are_thirty() -> None:
    assert len(CASES) >= 30
