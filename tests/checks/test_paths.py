from __future__ import annotations

from pathlib import Path

from dsbridge.reading import Files
from dsbridge.subjects.nearby import near
from tests.checks.told import says, told

DS = '{"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": 1}'
RUN = "torchrun --nproc_per_node 2 train.py --output_dir o --per_device_train_batch_size 1 --deepspeed "
YAML = (
    "model_name_or_path: m\nstage: sft\ndo_train: true\nfinetuning_type: full\ndataset: d\ntemplate: qwen\n"
)


def test_a_name_that_exists_is_named() -> None:
    files = {"configs/ds_z2.json": DS}
    text = says("CK520", files, f"{RUN}config/ds_z2.json")
    assert text.startswith("error: config/ds_z2.json")
    assert "There is configs/ds_z2.json" in text
    assert "There is configs/ds_z2.json" in says("CK520", files, f"{RUN}configs/ds_zero2.json")
    assert "There is" not in says("CK520", files, f"{RUN}other.json")


def test_the_bare_refusal_is_not_told_beside() -> None:
    assert not told("EX005", {}, f"{RUN}ds.json")
    assert told("CK520", {}, f"{RUN}ds.json")


def test_without_a_command_nobody_knows_the_folder() -> None:
    (found,) = told("CK520", {"y.yaml": f"{YAML}output_dir: o\ndeepspeed: examples/ds.json\n"})
    assert (found.severity.value, found.file, found.line, found.key) == ("info", "y.yaml", 8, "deepspeed")
    assert not told("EX005", {"y.yaml": f"{YAML}output_dir: o\ndeepspeed: examples/ds.json\n"})
    near_by = {"y.yaml": f"{YAML}output_dir: o\ndeepspeed: examples/ds.json\n", "conf/ds.json": DS}
    assert says("CK520", near_by).startswith("warning")
    (found,) = told("CK520", {
        "a.yaml": "distributed_type: DEEPSPEED\nnum_processes: 8\ndeepspeed_config:\n"
        "  deepspeed_config_file: ds.json\n"
    })  # fmt: skip
    assert (found.file, found.line) == ("a.yaml", 4)


def test_a_command_that_starts_in_a_folder_above_is_no_mistake() -> None:
    """CarperAI/trlx and LianjiaTech/BELLE name their configs from the folder where their script starts."""
    yaml = (
        "distributed_type: DEEPSPEED\nnum_processes: 8\ndeepspeed_config:\n"
        "  deepspeed_config_file: configs/ds.json\n"
    )
    (found,) = told("CK520", {"train/configs/a.yaml": yaml, "train/configs/ds.json": DS})
    assert found.severity.value == "info"
    assert "Start it in train" in found.hint
    below = yaml.replace("configs/ds.json", "train/configs/ds.json")
    (found,) = told("CK520", {"a.yaml": below, "configs/ds.json": DS, "b/ds.json": DS})
    assert found.severity.value == "info"
    (found,) = told("CK520", {"other/a.yaml": yaml, "train/configs/ds.json": DS})
    assert found.severity.value == "warning"


def test_what_is_there_is_no_finding() -> None:
    assert not told("CK520", {"ds.json": DS}, f"{RUN}ds.json")
    assert not told("CK520", {"ds.json": "{"}, f"{RUN}ds.json")
    assert not told("CK520", {}, "torchrun --nproc_per_node 2 train.py --output_dir o")


def test_a_folder_is_searched(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "zero3.json").write_text("{}")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "zero2.json").write_text("{}")
    files = Files(tmp_path)
    assert near(files, "zero3.json") == "a/b/zero3.json"
    assert near(files, "zreo3.json") == "a/b/zero3.json"
    assert not near(files, "zero2.json")
    assert not near(files, "accelerate.yaml")
