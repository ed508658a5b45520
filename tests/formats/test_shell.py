"""Commands of shell scripts: words as the shell would hand them over, each with its place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dsbridge.formats.shell import commands_of, read_shell


def words(text: str) -> list[tuple[str, ...]]:
    return [command.words for command in read_shell(text, "run.sh")]


def test_variables_that_the_script_sets_are_put_in() -> None:
    assert words("GPUS=4\ntorchrun --nproc_per_node=$GPUS \"a $GPUS b\" '$GPUS' ${PORT:-29500}") == [
        ("torchrun", "--nproc_per_node=4", "a 4 b", "$GPUS", "29500")
    ]


def test_a_variable_that_nobody_sets_stays() -> None:
    assert words("torchrun --nproc_per_node $GPUS train.py ${ARGS}") == [
        ("torchrun", "--nproc_per_node", "$GPUS", "train.py", "${ARGS}")
    ]


def test_an_unquoted_variable_is_split() -> None:
    assert words('ARGS="--a 1 --b"\ndeepspeed train.py $ARGS') == [
        ("deepspeed", "train.py", "--a", "1", "--b")
    ]


def test_exported_variables_stand_before_the_command() -> None:
    assert words("export NODE_RANK=1\nA=2 llamafactory-cli train a.yaml") == [
        ("NODE_RANK=1", "A=2", "llamafactory-cli", "train", "a.yaml")
    ]


def test_commands_in_loops_prompts_and_blanks_to_fill() -> None:
    assert words("for i in 1 2; do\n  echo $i && xtuner train <config>\ndone\n$ accelerate launch t.py") == [
        ("echo", "$i"),
        ("xtuner", "train", "_config_"),
        ("accelerate", "launch", "t.py"),
    ]


def test_a_here_document_is_no_command() -> None:
    assert words("cat > ds.json <<EOF\n{}\nEOF\nls") == [("cat",), ("ls",)]


def test_a_comment_behind_the_backslash_is_told_and_read_over() -> None:
    text = "torchrun train.py \\ # 中文\n  --lr 1 \\  # why\n  --bf16\n"
    (command,) = read_shell(text, "run.sh")
    assert command.words == ("torchrun", "train.py", "--lr", "1", "--bf16")
    assert [(at.line, at.column) for at in command.cut] == [(1, 19), (2, 10)]


def test_places_count_letters_not_bytes() -> None:
    (command,) = commands_of("echo 中文 --flag", "notes.md", 7)
    assert [(at.file, at.line, at.column) for at in command.places] == [
        ("notes.md", 7, 1), ("notes.md", 7, 6), ("notes.md", 7, 9)
    ]  # fmt: skip


@given(st.text(max_size=200))
def test_any_text_is_read(text: str) -> None:
    for command in read_shell(text, "run.sh"):
        assert len(command.words) == len(command.places)


@given(
    st.lists(
        st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_categories=("C", "Z"))),
        min_size=1,
    )
)
def test_quoted_words_come_back(items: list[str]) -> None:
    import shlex

    (command,) = read_shell("torchrun " + " ".join(map(shlex.quote, items)), "run.sh")
    assert command.words == ("torchrun", *items)
