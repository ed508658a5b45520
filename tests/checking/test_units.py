"""What a command line names becomes units: together, each for itself, or what stands in a text."""

from __future__ import annotations

from pathlib import Path

from dsbridge.checking.running import check_units
from dsbridge.checking.units import units_of
from dsbridge.diagnostics import Diagnostic
from dsbridge.reading import Files

DS = '{"train_micro_batch_size_per_gpu": "auto", "zero_optimization": {"stage": 2}}\n'
GUIDE = """# Training

Put this into `ds.json`:

```json
{
  "train_micro_batch_size_per_gpu": "auto",  // filled
  "zero_optimization": {"stage": 2}
}
```

- then start it:

  ```bash
  pip install deepspeed
  torchrun --nproc_per_node 4 train.py --output_dir out --deepspeed ds.json
  ```

or only

```json
"zero_optimization": {
    "stage": 7, // no such stage
    ...
}
```
"""


def check(files: dict[str, str], *given: str) -> list[Diagnostic]:
    units, _ = units_of(Files(memory=files), given)
    return list(check_units(units).findings)


def test_a_guide_is_read_block_by_block() -> None:
    units, _ = units_of(Files(memory={"notes.md": GUIDE}), ["notes.md"])
    text, command, part = units
    assert text.text_only
    assert text.given == ("notes.md",)
    assert command.command[0] == "torchrun"
    assert part.lone
    assert part.part


def test_findings_stand_where_the_guide_says_it() -> None:
    found = {(d.code, d.file, d.line, d.column) for d in check({"notes.md": GUIDE}, "notes.md")}
    assert ("CK120", "notes.md", 7, 46) in found
    assert {(code, line) for code, _, line, _ in found if code == "CK108"} == {("CK108", 23)}


def test_a_part_of_a_config_is_not_blamed_for_its_comments() -> None:
    part = '```json\n{\n  "zero_optimization": {\n    "stage": 1, // here\n    ...\n  }\n}\n```\n'
    assert check({"notes.md": part}, "notes.md") == []


def test_a_guide_may_leave_things_open() -> None:
    commands = "xtuner train xxx --deepspeed deepspeed_zero2\nxtuner train ${CONFIG} --deepspeed ${DS}\n"
    assert check({"notes.md": f"```bash\n{commands}```\n"}, "notes.md") == []


def test_a_chat_answer_without_fences(tmp_path: Path) -> None:
    found = check({"-": '"zero_optimization": {"stage": 9}\n'}, "-")
    assert [(d.code, d.file, d.line) for d in found] == [("CK108", "-", 1)]


def test_the_commands_of_a_script_are_placed_in_it() -> None:
    script = "#!/bin/bash\nGPUS=4\ntorchrun --nproc_per_node $GPUS train.py \\\n"
    script += "  --output_dir out --deepspeed ds.json \\\n  --bf16 --fp16\n"
    found = [d for d in check({"run.sh": script, "ds.json": DS}, "run.sh") if d.severity == "error"]
    assert [(d.file, d.line) for d in found] == [("run.sh", 5)]


def test_a_folder_is_searched_and_what_another_file_names_is_read_with_it(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "ds.json").write_text(DS)
    (tmp_path / "conf" / "alone.json").write_text(DS.replace("2", "3"))
    (tmp_path / "conf" / "package.json").write_text('{"name": "web"}')
    (tmp_path / "conf" / "train.yaml").write_text(
        "model_name_or_path: m\nstage: sft\ndo_train: true\ndataset: d\ntemplate: llama3\n"
        "finetuning_type: full\noutput_dir: o\ndeepspeed: ds.json\n"
    )
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "ds.json").write_text(DS)
    units, skipped = units_of(Files(tmp_path), ["."])
    assert [unit.given for unit in units] == [("conf/alone.json",), ("conf/train.yaml",)]
    assert skipped == ["conf/package.json"]


def test_a_broken_config_is_told_among_others() -> None:
    files = Files(memory={"a.json": DS, "b.json": DS[:-3], "c.json": '{"name": '})
    units, skipped = units_of(files, ["a.json", "b.json", "c.json"], each=True)
    assert [d.code for d in check_units(units).findings if d.file == "b.json"] == ["IN002"]
    assert skipped == ["c.json"]


def test_each_file_by_itself() -> None:
    files = Files(memory={"a.json": DS, "b.json": DS, "c.yaml": "name: ci\n"})
    units, skipped = units_of(files, ["a.json", "b.json", "c.yaml"], each=True)
    assert [unit.given for unit in units] == [("a.json",), ("b.json",)]
    assert skipped == ["c.yaml"]


def test_arguments_as_json_are_no_deepspeed_config() -> None:
    """A HF Trainer's training_args.json has names in common with one."""
    arguments = (
        '{"logging_steps": 10, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 4,'
        ' "bf16": true, "deepspeed": "ds_config.json"}'
    )
    found = check({"training_args.json": arguments, "ds_config.json": DS}, "training_args.json")
    assert not [one.code for one in found if one.code.startswith("CK10")]
