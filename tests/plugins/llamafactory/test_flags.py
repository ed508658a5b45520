"""`--name value` words, as HfArgumentParser reads them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dsbridge.reading import Words
from dsbridge_llamafactory.flags import choices, known_arguments, read_flags


def read(*words: str) -> tuple[dict[str, object], list[str], object]:
    found = read_flags(Words(words, 3), "train.py")
    return found.values, found.unused, found.problem


def test_values_are_converted_by_the_kind_of_the_argument() -> None:
    values, unused, problem = read(
        "--do_train", "--bf16", "False", "--learning_rate=1e-4", "--max_steps", "20", "--stage", "sft"
    )
    assert values == {
        "do_train": True,
        "bf16": False,
        "learning_rate": 1e-4,
        "max_steps": 20,
        "stage": "sft",
    }
    assert (unused, problem) == ([], None)


def test_unknown_words_are_kept_in_order() -> None:
    assert read("--zero_stage", "2", "x", "--bf16")[:2] == ({"bf16": True}, ["--zero_stage", "2", "x"])


def test_what_argparse_refuses() -> None:
    for words, said in (
        (("--finetuning_type", "qlora"), "invalid choice: 'qlora'"),
        (("--learning_rate", "fast"), "invalid float value: 'fast'"),
        (("--max_steps",), "expected one argument"),
    ):
        problem = read(*words)[2]
        assert isinstance(problem, dict)
        assert problem["type"] == "SystemExit"
        assert said in problem["message"]


def test_the_table_has_both_packages_and_versions() -> None:
    table = known_arguments()
    assert table["oft_rank"].since == "0.9.4"
    assert table["save_safetensors"].until == "5.0.0"
    assert choices("stage", "0.9.3") == ("pt", "sft", "rm", "ppo", "dpo", "kto")
    assert choices("finetuning_type", "0.9.3") == ("lora", "freeze", "full")
    assert choices("finetuning_type", "0.9.5") == ("lora", "oft", "freeze", "full")
    assert table["infer_backend"].default == "huggingface"


def test_names_may_be_short_dashed_or_turned_off() -> None:
    assert read("--learning-rate", "1", "--no_use_fast_tokenizer", "--per_device_train", "4")[0] == {
        "learning_rate": 1.0,
        "use_fast_tokenizer": False,
        "per_device_train_batch_size": 4,
    }
    problem = read("--lora_", "1")[2]
    assert isinstance(problem, dict)
    assert "ambiguous option: --lora_ could match" in problem["message"]


@given(st.lists(st.one_of(st.text(), st.sampled_from(["--bf16", "--stage", "--report_to", "=", "--"]))))
def test_no_words_crash_it(words: list[str]) -> None:
    assert isinstance(read(*words)[0], dict)
