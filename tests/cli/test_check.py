"""`dsbridge check`: what it prints, what it leaves out, how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dsbridge.checking.settings import forget
from tests.meta.test_docs import schema

DS = """{"zero_optimization": {"stage": 2},
 "gradient_accumulation_steps": 4,
 "train_micro_batch_size_per_gpu": "auto"}"""
COMMAND = (
    "--",
    "torchrun",
    "--nproc_per_node",
    "2",
    "train.py",
    "--output_dir",
    "out",
    "--deepspeed",
    "ds.json",
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a config that the Trainer refuses."""
    monkeypatch.chdir(tmp_path)
    forget()
    (tmp_path / "ds.json").write_text(DS)
    return tmp_path


def codes(outcome: Any) -> list[str]:
    return [found["code"] for found in outcome.json["diagnostics"]]


def test_text_ends_with_the_count(here: Path, dsbridge: Callable[..., Any]) -> None:
    outcome = dsbridge("check", *COMMAND)
    assert outcome.code == 1
    assert outcome.out.startswith("ds.json:2:2: error CK205 values-disagree")
    assert outcome.out.endswith("\n\n1 error, 1 note in the command; --all shows the notes\n")
    assert "\x1b" not in outcome.out
    assert "info EX010" in dsbridge("check", "--all", *COMMAND).out


@pytest.mark.parametrize("given", [COMMAND, ("ds.json",)])
def test_json_follows_its_schema(here: Path, dsbridge: Callable[..., Any], given: tuple[str, ...]) -> None:
    outcome = dsbridge("check", "--format", "json", *given)
    jsonschema.validate(outcome.json, schema("check"))
    assert outcome.code == (1 if outcome.json["summary"]["error"] else 0)


def test_json_has_the_notes_too(here: Path, dsbridge: Callable[..., Any]) -> None:
    assert codes(dsbridge("check", "--format", "json", *COMMAND)) == ["EX010", "CK205"]


def test_github_and_sarif(here: Path, dsbridge: Callable[..., Any]) -> None:
    outcome = dsbridge("check", "--format", "github", *COMMAND)
    assert outcome.out.startswith("::error file=ds.json,line=2,col=2,title=CK205 values-disagree::")
    assert outcome.code == 1
    assert dsbridge("check", "--format", "sarif", *COMMAND).json["version"] == "2.1.0"


def test_select_and_ignore(here: Path, dsbridge: Callable[..., Any]) -> None:
    asked = ("check", "--format", "json")
    assert codes(dsbridge(*asked, "--ignore", "EX010", *COMMAND)) == ["CK205"]
    assert codes(dsbridge(*asked, "--ignore", "ex01,CK205", *COMMAND)) == []
    assert codes(dsbridge(*asked, "--select", "EX010", *COMMAND)) == ["EX010"]
    assert dsbridge(*asked, "--ignore", "CK205", *COMMAND).code == 0


def test_a_code_that_nobody_has(here: Path, dsbridge: Callable[..., Any]) -> None:
    outcome = dsbridge("check", "--ignore", "EX055", *COMMAND)
    assert (outcome.code, outcome.out) == (2, "")
    assert "no check or diagnostic has the code `EX055`" in outcome.err
    (here / ".dsbridge.toml").write_text('ignore = ["QQ1"]')
    outcome = dsbridge("check", *COMMAND)
    assert outcome.code == 2
    assert outcome.err.startswith(".dsbridge.toml: error IN040 bad-settings")


def test_settings_ignore_weigh_and_say_facts(here: Path, dsbridge: Callable[..., Any]) -> None:
    asked = ("check", "--format", "json", *COMMAND)
    (here / ".dsbridge.toml").write_text('severity = {CK205 = "warning"}')
    assert dsbridge(*asked).code == 0
    forget()
    (here / ".dsbridge.toml").write_text('per-file-ignores = {"ds.json:*gradient_acc*" = ["CK205"]}')
    assert codes(dsbridge(*asked)) == ["EX010"]
    forget()
    (here / ".dsbridge.toml").write_text('target = "nobody"')
    assert "recognised as input of `nobody`" in dsbridge("check", "ds.json").err
    # the command line wins
    assert "recognised as input of `xtuner`" in dsbridge("check", "--target", "xtuner", "ds.json").err


YAML = """model_name_or_path: Qwen/Qwen2.5-7B
stage: sft
dataset: alpaca_en_demo
template: qwen
output_dir: out
finetuning_type: full
quantization_bit: 4%s
"""


def test_a_comment_silences(here: Path, dsbridge: Callable[..., Any]) -> None:
    (here / "train.yaml").write_text(YAML % "")
    (found,) = dsbridge("check", "--format", "json", "train.yaml").json["diagnostics"]
    assert (found["code"], found["file"], found["line"]) == ("EX005", "train.yaml", 7)
    (here / "train.yaml").write_text(YAML % "  # dsbridge: ignore[EX005]")
    outcome = dsbridge("check", "--format", "json", "train.yaml")
    assert (outcome.code, outcome.json["diagnostics"]) == (0, [])


def test_each_file_by_itself(here: Path, dsbridge: Callable[..., Any]) -> None:
    (here / "notes.yaml").write_text("shopping: [bread]\n")
    (here / "chart.yaml").write_text("a: {{ .Values.x }}\n")
    (here / "util.py").write_text("print(1)\n")
    names = ("notes.yaml", "chart.yaml", "util.py", "ds.json")
    outcome = dsbridge("check", "--each", "--format", "json", *names)
    assert outcome.json["files"] == ["ds.json"]
    assert outcome.json["summary"]["skipped"] == 3


def test_what_is_excluded_is_left_out_of_a_folder(here: Path, dsbridge: Callable[..., Any]) -> None:
    (here / "old").mkdir()
    (here / "old" / "ds2.json").write_text(DS)
    (here / ".dsbridge.toml").write_text('exclude = ["old"]')
    assert dsbridge("check", "--format", "json", ".").json["files"] == ["ds.json"]
    assert dsbridge("check", "--format", "json", "old/ds2.json").json["files"] == ["old/ds2.json"]


def test_output_is_json_alone(here: Path, dsbridge: Callable[..., Any]) -> None:
    json.loads(dsbridge("check", "--format", "json", *COMMAND).out)


CLIP = """{
  "zero_optimization": {"stage": 2},
  "train_micro_batch_size_per_gpu": "auto"
}
"""
CLIPPED = (
    "--",
    "torchrun",
    "train.py",
    "--output_dir",
    "o",
    "--deepspeed",
    "ds.json",
    "--max_grad_norm",
    "0.3",
)


def test_diff_shows_and_fix_writes(here: Path, dsbridge: Callable[..., Any]) -> None:
    file = here / "ds.json"
    file.write_text(CLIP)
    plain = dsbridge("check", *CLIPPED)
    assert "fix with --fix: " in plain.out
    assert "1 can be fixed with --fix" in plain.out
    shown = dsbridge("check", "--diff", *CLIPPED)
    assert shown.code == plain.code
    assert '+  "gradient_clipping": "auto"' in shown.out.splitlines()
    assert file.read_text() == CLIP
    jsoned = dsbridge("check", "--diff", "--format", "json", *CLIPPED).json
    jsonschema.validate(jsoned, schema("check"))
    assert (jsoned["diff"], len(jsoned["fixed"])) == (shown.out, 1)
    done = dsbridge("check", "--fix", *CLIPPED)
    assert done.out.startswith("fixed ds.json: ") or done.out.startswith("fixed command: ")
    assert json.loads(file.read_text()) == {**json.loads(CLIP), "gradient_clipping": "auto"}
    again = dsbridge("check", "--fix", "--format", "json", *CLIPPED).json
    jsonschema.validate(again, schema("check"))
    assert (again["fixed"], again["not_fixed"], again["summary"]["fixable"]) == ([], [], 0)


def test_a_block_of_a_guide_is_shown_and_not_written(here: Path, dsbridge: Callable[..., Any]) -> None:
    words = " ".join(CLIPPED[1:])
    text = f"# How to\n\n`ds.json`:\n\n```json\n{CLIP}```\n\n```bash\n{words}\n```\n"
    (here / "guide.md").write_text(text)
    (here / "ds.json").unlink()
    outcome = dsbridge("check", "--fix", "guide.md")
    assert (here / "guide.md").read_text() == text
    assert "fixed guide" not in outcome.out.replace("not fixed", "")
    assert sorted(path.name for path in here.iterdir()) == ["guide.md"]
