"""Editing a user's YAML file: the right keys, and every comment that is not inside what goes."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dsbridge.diagnostics import InputError
from dsbridge.formats.yaml_edit import YamlEdit


def removed(text: str, *paths: str) -> str:
    edit = YamlEdit("b.yaml", text)
    for path in paths:
        edit.remove(tuple(path.split(".")))
    return edit.text("h").removeprefix("# h\n")


def changed(text: str, path: str, value: Any) -> str:
    edit = YamlEdit("b.yaml", text)
    edit.set(tuple(path.split(".")), value)
    return edit.text("h").removeprefix("# h\n")


MINE = """\
# top
a: 1  # of a

# above b
b:  # of b
  # above c
  c: 1
  # above d
  d:
  - x
  # in the list
  - y
  # at the end of b
# above e
e: |
  text
  # no comment

# above f
f: {g: 1, h: 2}  # of f
# end
"""


class TestRemove:
    @pytest.mark.parametrize(
        ("path", "lines"),
        [
            ("a", ["a: 1  # of a", ""]),
            ("b", [line for line in MINE.splitlines()[4:13] if line != "# above e"]),
            ("b.c", ["  c: 1"]),
            ("b.d", ["  d:", "  - x", "  # in the list", "  - y"]),
            ("e", ["e: |", "  text", "  # no comment"]),
            ("f", ["f: {g: 1, h: 2}  # of f"]),
        ],
    )
    def test_only_the_lines_of_the_key_go(self, path: str, lines: list[str]) -> None:
        left = MINE.splitlines()
        for line in lines:
            left.remove(line)
        kept = removed(MINE, path)
        assert [line for line in kept.splitlines() if line] == [line for line in left if line]

    def test_two_neighbours_and_one_inside_another(self) -> None:
        kept = removed(MINE, "a", "b.c", "b", "e")
        assert yaml.safe_load(kept) == {"f": {"g": 1, "h": 2}}
        assert re.findall("#.*", kept) == ["# top", "# above b", "# above e", "# above f", "# of f", "# end"]

    def test_a_mapping_that_loses_all(self) -> None:
        kept = removed("a:  # of a\n  # above b\n  b: 1\n# above c\nc: 2\n", "a.b")
        assert yaml.safe_load(kept) == {"a": {}, "c": 2}
        assert re.findall("#.*", kept) == ["# of a", "# above b", "# above c"]

    def test_the_file_that_loses_all(self) -> None:
        assert removed("# top\na: 1\n# end\n", "a") == "# top\n# end\n{}\n"

    def test_in_braces(self) -> None:
        kept = removed("a: {b: 1, c: 2}  # of a\n# end\n", "a.b")
        assert [line.split() for line in kept.splitlines()] == [
            ["a:", "{c:", "2}", "#", "of", "a"],
            ["#", "end"],
        ]

    def test_what_an_alias_needs_moves_there(self) -> None:
        kept = removed("a: &x {k: 1}\nb: *x\nc: 1\n", "a")
        assert yaml.safe_load(kept) == {"b": {"k": 1}, "c": 1}

    def test_an_alias_alone(self) -> None:
        kept = removed("a: &x {k: 1}\nb: *x\nc: 1\n", "b")
        assert yaml.safe_load(kept) == {"a": {"k": 1}, "c": 1}

    def test_what_comes_by_a_merge_is_refused(self) -> None:
        with pytest.raises(InputError, match="`k` must go, but comes by a merge"):
            removed("a: &x {k: 1}\n<<: *x\n", "k")

    def test_a_merge_below_stays(self) -> None:
        kept = removed("x: &x {k: 1}\na: 1\n<<: *x\n", "a")
        assert yaml.safe_load(kept) == {"x": {"k": 1}, "k": 1}

    def test_a_closing_bracket_at_the_margin(self) -> None:
        assert removed("a: [\n1,\n]\n# below\nb: 2\n", "a") == "# below\nb: 2\n"

    def test_a_key_that_is_set_again_stays(self) -> None:
        edit = YamlEdit("b.yaml", "a: 1\nb: 2\n")
        del edit["a"]
        assert list(edit) == ["b"]
        assert not edit.has(("a",))
        edit["a"] = 3
        assert dict(edit) == {"a": 3, "b": 2}
        assert yaml.safe_load(edit.text("h")) == {"a": 3, "b": 2}


class TestSet:
    def test_a_scalar_in_place(self) -> None:
        assert changed(MINE, "a", 2) == MINE.replace("a: 1", "a: 2")

    @pytest.mark.parametrize("value", [1, "no", [1, 2], {"k": {"l": 1}}, {}, []])
    @pytest.mark.parametrize(("path", "inside"), [("b", 4), ("b.d", 1), ("e", 0), ("f", 0)])
    def test_a_block_gives_way_but_not_the_comments_around_it(
        self, path: str, inside: int, value: Any
    ) -> None:
        text = changed(MINE, path, value)
        wanted = yaml.safe_load(MINE)
        *above, key = path.split(".")
        (wanted[above[0]] if above else wanted)[key] = value
        assert yaml.safe_load(text) == wanted
        kept, comments = (re.findall("# (?!no comment).*", each) for each in (text, MINE))
        assert len(kept) == len(comments) - inside, text

    def test_a_text_in_lines_gives_way(self) -> None:
        assert changed("a: |\n  x\n# z\nb: 2\n", "a", 3) == "a: 3\n# z\nb: 2\n"

    def test_the_indentation_stays(self) -> None:
        text = "a:\n    b:\n        c: 1\n    # above d\n    d: 1\n"
        assert changed(text, "a.e", 2) == f"{text}    # added by dsbridge\n    e: 2\n"
        assert (
            changed(f"f: {{g: 1}}\n{text}", "a.e", 2)
            == f"f: {{g: 1}}\n{text}    # added by dsbridge\n    e: 2\n"
        )
        assert removed(text, "a.b") == "a:\n    # above d\n    d: 1\n"

    def test_comments_above_the_start_of_the_document_stay(self) -> None:
        assert removed("# b\n--- # c\na: 1\n# d\nb: 2\n", "a") == "# b\n # c\n# d\nb: 2\n"

    def test_new_keys_are_under_one_comment(self) -> None:
        edit = YamlEdit("b.yaml", "a: 1\n# end\n")
        edit["b"], edit["c"] = 1, 2
        assert edit.text("h") == "# h\na: 1\n# end\n# added by dsbridge\nb: 1\nc: 2\n"

    def test_a_new_nested_key(self) -> None:
        assert changed("a:\n  b: 1\n", "a.c", 2) == "a:\n  b: 1\n  # added by dsbridge\n  c: 2\n"
        assert changed("a: 1\n", "b.c", 2) == "a: 1\n# added by dsbridge\nb:\n  c: 2\n"
        assert yaml.safe_load(changed("{a: 1}\n", "b", 2)) == {"a": 1, "b": 2}

    def test_a_new_nested_key_stays_above_the_comments_that_follow_its_mapping(self) -> None:
        text = "a:\n  b: 1  # of b\n  # in a\n\n# above c\nc: 1\n"
        added = "  # added by dsbridge\n  n:\n    m: 2\n"
        assert changed(text, "a.n", {"m": 2}) == text.replace("  # in a\n", f"  # in a\n{added}")

    @pytest.mark.parametrize("parent", ["", " {}", " 3", "\n  # none yet"])
    def test_a_parent_that_is_no_mapping_yet(self, parent: str) -> None:
        text = changed(f"a:{parent}\n# above z\nz: 1\n", "a.c", 2)
        assert yaml.safe_load(text) == {"a": {"c": 2}, "z": 1}
        assert "# above z" in text

    @pytest.mark.parametrize("value", ["no", "1e5", "1e-5", "0x1", "12:30", "", "a: b", "#x", "it's", 1e-5])
    def test_both_kinds_of_yaml_read_the_same(self, value: Any) -> None:
        text = changed("a: 1\n", "a", [value, {"b": value}])
        assert yaml.safe_load(text) == {"a": [value, {"b": value}]}
        assert YamlEdit("b.yaml", text)["a"] == [value, {"b": value}]


class TestFile:
    def test_lines_are_those_of_the_file(self) -> None:
        edit = YamlEdit("b.yaml", f"# Written by dsbridge 0\n{MINE}")
        edit["b"] = 1
        del edit["e"]
        assert str(edit.at(("f",))) == "b.yaml:21"
        assert str(edit.at(("b",))) == "b.yaml:6"
        edit["new"] = 1
        assert str(edit.at(("new",))) == "b.yaml"
        assert edit.text("Written by dsbridge 1").startswith("# Written by dsbridge 1\n# top\n")

    def test_as_pyyaml(self) -> None:
        assert YamlEdit("b.yaml", "a: no\nb: 1e-5\n").as_pyyaml() == {"a": False, "b": "1e-5"}
        with pytest.raises(InputError) as error:
            YamlEdit("b.yaml", "a: 1\nb: !odd 2\n").as_pyyaml()
        assert (error.value.diagnostics[0].code, error.value.diagnostics[0].line) == ("IN006", 2)

    @pytest.mark.parametrize(
        ("text", "line"),
        [("a: [1\n", 2), ("- a\n", 1), ("text\n", 1), ("", 1), ("a: 1\na: 2\n", 2), ("1: 2\n", 1)],
    )
    def test_what_is_no_base(self, text: str, line: int) -> None:
        with pytest.raises(InputError) as error:
            YamlEdit("b.yaml", text)
        told = error.value.diagnostics[0]
        assert (told.code, told.file, told.line) == ("IN006", "b.yaml", line)

    def test_without_the_editor(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "ruamel.yaml", None)
        with pytest.raises(InputError, match="dsbridge\\[edit\\]") as error:
            YamlEdit("b.yaml", "a: 1\n")
        assert error.value.diagnostics[0].code == "IN005"


# ---- any file, any change -------------------------------------------------------------------
# A tree is a list of (key, value, comment above, comment beside): value is a tree, a list or a number.

SCALARS = st.integers(0, 9)
FLAGS = st.booleans()
TREES: Any = st.recursive(
    SCALARS | st.lists(SCALARS, min_size=1, max_size=2),
    lambda inner: st.lists(st.tuples(inner, FLAGS, FLAGS), min_size=1, max_size=3).map(tuple),
    max_leaves=8,
)
FILES = st.lists(st.tuples(TREES, FLAGS, FLAGS), min_size=1, max_size=4).map(tuple)


def write(tree: Any, path: tuple[str, ...], lines: list[tuple[str, tuple[str, ...]]]) -> None:
    """Lines, each with the key that takes it along when it goes."""
    indent = "  " * len(path)
    for n, (value, above, beside) in enumerate(tree):
        key = f"k{n}"
        own = (*path, key)
        name = ".".join(own)
        if above:
            lines.append((f"{indent}# above {name}", path))
        eol = f"  # beside {name}" if beside else ""
        if isinstance(value, int):
            lines.append((f"{indent}{key}: {value}{eol}", own))
            continue
        lines.append((f"{indent}{key}:{eol}", own))
        if isinstance(value, list):
            lines += [(f"{indent}- {each}", own) for each in value]
        else:
            write(value, own, lines)
            if above:
                lines.append((f"{indent}  # end of {name}", own))


def paths(tree: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for n, (value, _, _) in enumerate(tree):
        found.append((*path, f"k{n}"))
        if isinstance(value, tuple):
            found += paths(value, found[-1])
    return found


@given(tree=FILES, data=st.data())
def test_any_removals_and_replacements(tree: Any, data: st.DataObject) -> None:
    lines: list[tuple[str, tuple[str, ...]]] = []
    write(tree, (), lines)
    text = "\n".join(line for line, _ in lines) + "\n"
    wanted = yaml.safe_load(text)
    edit, gone, new = YamlEdit("b.yaml", text), [], []
    for path in data.draw(st.lists(st.sampled_from(paths(tree)), max_size=4, unique=True)):
        if not edit.has(path):
            continue
        node = wanted
        for key in path[:-1]:
            node = node[key]
        change = data.draw(st.sampled_from(["remove", "replace", "add"]))
        value = data.draw(st.sampled_from([7, "no", [1, 2], {"x": 1}]))
        if change == "remove":
            edit.remove(path)
            del node[path[-1]]
            gone.append(path)
        elif change == "replace":
            edit.set(path, value)
            node[path[-1]] = value
            new.append(path)
        else:
            edit.set((*path[:-1], "new"), value)
            node["new"] = value
    out = edit.text("h").removeprefix("# h\n")
    assert yaml.safe_load(out) == wanted, f"{text}\n{out}"

    def stays(line: str, owner: tuple[str, ...]) -> bool:
        beside = line.endswith(f"# beside {'.'.join(owner)}")
        inside = [path for path in new if owner[: len(path)] == path and not (beside and path == owner)]
        return not inside and not any(owner[: len(path)] == path for path in gone)

    comments = [line.partition("#")[2] for line, owner in lines if "#" in line and stays(line, owner)]
    left = [line.partition("#")[2] for line in out.splitlines() if "#" in line]
    assert [line for line in left if line != " added by dsbridge"] == comments, f"{text}\n{out}"
