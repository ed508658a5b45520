"""Commands and files to one set-up: launchers peel off, the framework is found, facts are derived."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsbridge.diagnostics import InputError
from dsbridge.framework import Framework, Rendered, RenderRequest
from dsbridge.hookspecs import hookimpl
from dsbridge.inputs import Input, place_text, read_input, words_of
from dsbridge.launchers import LAUNCHERS
from dsbridge.plugins import Origin, PluginError, Registry, new_registry
from dsbridge.reading import COMMAND, Files, Guess, Launcher, Reader, Reading, Setup, sources_of
from dsbridge.rules import Layer


def render(request: RenderRequest) -> Rendered:
    raise NotImplementedError


def recognises(setup: Setup) -> int:
    return 2 if any(word.startswith("toy") for word in setup.words.items) else 0


def command_of(setup: Setup) -> Guess | None:
    if setup.given and setup.given[0].endswith(".toy"):
        return Guess(("torchrun", "toy.py", *setup.given))
    return None


def read(setup: Setup) -> Reading:
    return Reading({"args": list(setup.words.items)}, {"args": setup.words.source(0)}, {"colour": "red"})


READER = Reader(recognises, command_of, read, (), ("toy",), {"toy": "1.0"})


class Toy:
    """A framework that reads `toy.py` scripts, and the core's launchers."""

    @hookimpl
    def dsbridge_frameworks(self) -> Iterable[Framework]:
        return (Framework("toy", "Toy", render, "toy", {}, reader=lambda: READER),)

    @hookimpl
    def dsbridge_launchers(self) -> Iterable[Launcher]:
        return LAUNCHERS

    @hookimpl
    def dsbridge_layer(self, name: str) -> Layer | None:
        return Layer("toy", (), ()) if name == "toy" else None


def known() -> Registry:
    found = new_registry()
    found.add(Toy(), Origin("toy", "toy 1.0"))
    return found


def put(*command: str, files: dict[str, str] | None = None, given: tuple[str, ...] = ()) -> Input:
    memory = {"toy.py": "", **(files or {})}
    return read_input(known(), Files(memory=memory), given, command)


@pytest.mark.parametrize(
    ("command", "world", "words"),
    [
        ("torchrun --nproc_per_node 4 toy.py --a 1", 4, ["toy.py", "--a", "1"]),
        ("torchrun --nproc-per-node=4 --nnodes 2 toy.py", 8, ["toy.py"]),
        ("torchrun --nnodes 1:4 --nproc_per_node 8 toy.py", 8, ["toy.py"]),
        ("torchrun --standalone --nproc_per_node 2 -m toy.train x", 2, ["-m", "toy.train", "x"]),
        ("torchrun toy.py", 1, ["toy.py"]),
        ("PET_NPROC_PER_NODE=3 torchrun toy.py", 3, ["toy.py"]),
        ("python -m torch.distributed.run --nproc_per_node 2 toy.py", 2, ["toy.py"]),
        ("python toy.py", 1, ["toy.py"]),
        ("python3.11 -u toy.py", 1, ["toy.py"]),
        ("WORLD_SIZE=16 python toy.py", 16, ["toy.py"]),
        ("env A=1 python toy.py", 1, ["toy.py"]),
        ("srun -n 8 torchrun --nproc_per_node 4 toy.py", 4, ["toy.py"]),
        ("torchrun --nproc_per_node gpu toy.py", None, ["toy.py"]),
    ],
)
def test_launchers(command: str, world: int | None, words: list[str]) -> None:
    found = put(*command.split())
    assert found.reading.facts.get("world_size") == world
    assert found.reading.trees["args"] == words
    assert found.framework.name == "toy"
    assert found.reading.facts["colour"] == "red"


def test_srun_says_its_tasks() -> None:
    assert put("srun", "-N", "2", "--ntasks-per-node=4", "python", "toy.py").reading.facts["slurm_tasks"] == 8
    assert "world_size" not in put("srun", "-n", "8", "--exclusive", "python", "toy.py").reading.facts


def test_places_are_word_numbers() -> None:
    found = put("A=1", "torchrun", "--nproc_per_node", "4", "toy.py")
    assert found.reading.sources["torchrun.nproc_per_node"].column == 3
    assert place_text(found.reading.sources["args"]) == "word 5 of the command"
    assert found.reading.sources["args"].file == COMMAND


def test_the_command_is_kept_as_it_was_given() -> None:
    setup = put("A=1", "torchrun", "--nproc_per_node", "4", "toy.py").setup
    assert setup.whole == ("torchrun", "--nproc_per_node", "4", "toy.py")
    assert dict(setup.given_environ) == {"A": "1"}
    assert setup.environ["WORLD_SIZE"] == "4"


def test_one_word_is_a_whole_command_line() -> None:
    environ, words = words_of(["A='b c' torchrun --x 'y z' toy.py"])
    assert environ == {"A": "b c"}
    assert words.items == ("torchrun", "--x", "y z", "toy.py")


def test_files_are_turned_into_the_command_they_belong_to() -> None:
    found = put(files={"a.toy": "x"}, given=("a.toy",))
    assert found.reading.trees["args"] == ["toy.py", "a.toy"]
    assert "world_size" not in found.reading.facts, "files do not say how many ranks there are"


def test_a_target_that_reads_nothing_of_it() -> None:
    with pytest.raises(InputError, match="not recognised as input of `toy`"):
        read_input(known(), Files(memory={"b.txt": ""}), ("b.txt",), target="toy")


def test_two_plugins_with_one_layer_are_an_error() -> None:
    found = known()
    assert found.layer("toy").name == "toy"

    class Second:
        @hookimpl
        def dsbridge_layer(self, name: str) -> Layer | None:
            return Layer(name, (), ())

    found.add(Second(), Origin("second", "second 1.0"))
    with pytest.raises(PluginError, match="layer `toy`: 2 plugins have it"):
        found.layer("toy")


def test_files_in_memory_and_on_disk(tmp_path: Any) -> None:
    (tmp_path / "b.json").write_text('{"a": 1}')
    both = Files(tmp_path, {"a.yaml": "x: no"}, alone=False)
    assert both.has("./a.yaml")
    assert both.has("b.json")
    assert both.yaml("a.yaml").value == {"x": False}, "as PyYAML reads it"
    assert both.json("b.json").value == {"a": 1}
    alone = Files(tmp_path, {"a.yaml": ""})
    assert not alone.has("b.json")
    with pytest.raises(InputError, match="No such file"):
        alone.text("b.json")


def test_sources_of_a_document() -> None:
    document = Files(memory={"d.json": '{"z": {"stage": 2}}'}).json("d.json")
    assert sources_of(document, "ds")["ds.z.stage"].column == 17
    assert "x.stage" in sources_of(document, "x", ("z",))


@given(st.lists(st.text(max_size=8), max_size=8))
def test_any_words_are_read_or_refused(words: list[str]) -> None:
    for command in (words, ["torchrun", *words], ["srun", *words], ["python", *words]):
        try:
            put(*command, files={"toy.py": ""}) if command else None
        except InputError as error:
            assert error.diagnostics
