"""Scripts by their syntax tree: what is followed, what is left unread, and that nothing runs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsbridge.diagnostics import InputError
from dsbridge.formats.calls import Attribute, CallSite, Name, Unread, is_plain
from dsbridge.formats.script import read_script


def seen(code: str, **environ: str) -> Any:
    """The first argument of the last call of `show`."""
    return read_script(code, "t.py", environ).named("show")[-1].args[0]


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("show(4)", 4),
        ("x = 2\ny = x * 3 + 1\nshow(y)", 7),
        ("x = -1e-4\nshow(x)", -1e-4),
        ("a, b = 1, 2\nshow(b)", 2),
        ("x = 2\nx += 3\nshow(x)", 5),
        ("x: int = 5\nshow(x)", 5),
        ("d = {'a': {'b': 1}}\nd['a']['b'] = 2\nshow(d)", {"a": {"b": 2}}),
        ("d = dict(a=1)\nd.update({'b': 2})\nshow(d)", {"a": 1, "b": 2}),
        ("d = {**{'a': 1}, 'b': 2}\nshow(d['b'])", 2),
        ("d = {'a': 1}\nshow(d.get('z', 9))", 9),
        ("show([1, 'a', None, True])", [1, "a", None, True]),
        ("show([0] * 3)", [0, 0, 0]),
        ("n = 3\nshow(f'out-{n}')", "out-3"),
        ("show(4 if 1 < 2 else 5)", 4),
        ("if False:\n    x = 1\nelse:\n    x = 2\nshow(x)", 2),
        ("def main(n=3):\n    show(n)\nmain()", 3),
        ("def make(n):\n    return n * 2\nshow(make(4))", 8),
        ("if __name__ == '__main__':\n    show(1)", 1),
        ("with open('x') as f:\n    show(1)", 1),
        ("try:\n    x = 1\nexcept E:\n    pass\nshow(x)", 1),
        ("import os\nshow(os.environ['N'])", "7"),
        ("import os\nshow(int(os.environ.get('N', '1')))", 7),
        ("class A:\n    pass\nx = 1\nshow(x)", 1),
        ("show(None or 3)", 3),
    ],
)
def test_followed(code: str, value: Any) -> None:
    found = seen(code, N="7")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "code",
    [
        "import os\nshow(os.environ['OTHER'])",
        "import os\nshow(os.environ.get('OTHER', 4))",
        "for i in range(3):\n    x = i\nshow(x)",
        "x = 1\nif unknown():\n    x = 2\nshow(x)",
        "x = 1\nwhile go():\n    x = 2\nshow(x)",
        "show([i for i in range(3)])",
        "show(2 ** 1000000)",
        "show('a' * 10 ** 9)",
        "show(1 / 0)",
        "show(lambda: 1)",
        "x = 1\ntry:\n    pass\nexcept E:\n    x = 2\nshow(x)",
        "x = 1\ndel x\nshow(x)",
        "show(f'{1:>4}')",
        "show({1: 2}[3])",
    ],
)
def test_left_unread(code: str) -> None:
    found = seen(code)
    assert not is_plain(found), found
    assert isinstance(found, CallSite | Unread)
    assert found.line


def test_a_dict_that_may_have_changed_is_not_trusted() -> None:
    assert seen("d = {'a': 1}\nif go():\n    d['a'] = 2\nshow(d)") == {"a": Unread("d['a']", 3)}
    assert isinstance(seen("d = {'a': 1}\nd.pop(key())\nshow(d)")["a"], Unread)
    assert isinstance(seen("d = {'a': 1}\nd[key()] = 2\nshow(d)")["a"], Unread)


def test_a_later_change_does_not_reach_an_earlier_call() -> None:
    assert seen("d = {'a': 1}\nshow(d)\nd['a'] = 2") == {"a": 1}


def test_names_are_what_they_were_imported_as() -> None:
    script = read_script("import torch.optim as o\nfrom accelerate import Accelerator as A\nA(x=o.AdamW)\n")
    (call,) = script.calls
    assert call.function == "accelerate.Accelerator"
    assert call.short == "Accelerator"
    assert call.keywords["x"] == Name("torch.optim.AdamW")


def test_methods_know_their_owner() -> None:
    script = read_script("a = A()\nargs = p.parse()\nx, y = a.prepare(m, args.lr)\nuse(x)\n")
    prepare = script.named("prepare")[0]
    assert isinstance(prepare.owner, CallSite)
    assert prepare.owner.function == "A"
    assert prepare.args[0] == Name("m")
    assert isinstance(prepare.args[1], Attribute)
    assert prepare.args[1].name == "lr"
    assert script.named("use")[0].args[0] is prepare


def test_arguments_and_places() -> None:
    call = read_script("f(1,\n  b=2,\n  **{'c': 3}, **kw)\n", "t.py").calls[0]
    assert call.argument("a", 0) == 1
    assert call.argument("b") == 2
    assert call.argument("c") == 3
    assert call.argument("d", 5, "none") == "none"
    assert call.more
    assert call.place("t.py", "b").line == 2
    assert call.place("t.py", "a", 0).line == 1
    assert call.place("t.py", "z").line == 1


def test_a_call_in_a_branch_may_not_happen() -> None:
    script = read_script("if go():\n    a()\nb()\nfor x in y:\n    c()\n")
    assert {call.function: call.maybe for call in script.calls if call.function != "go"} == {
        "a": True,
        "b": False,
        "c": True,
    }


def test_nothing_runs(tmp_path: Any) -> None:
    target = tmp_path / "made"
    read_script(f"open({str(target)!r}, 'w').write('x')\nimport os\nos.system('touch {target}')\n")
    assert not target.exists()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("x = = 1", "not valid Python"),
        ("def f(:\n", "not valid Python"),
        ("x = " + "(" * 5000, ""),
        ("x = " + "-" * 200_000 + "1", ""),
        ("def f():\n    return f()\nf()", "nested too deep"),
        ("a\x00b", ""),
    ],
)
def test_bad_scripts(code: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        read_script(code, "t.py")
    assert says in caught.value.diagnostics[0].message
    assert caught.value.diagnostics[0].file == "t.py"


PIECES = st.sampled_from(
    [
        "x = 1", "d = {}", "d[k] = x", "f(x)", "if x:\n    y = 2", "for i in d:\n    g(i)",
        "def h(a, b=1):\n    return a", "h(*d, **d)", "x += y", "x, y = y, x", "z = x if y else d",
        "print(f'{x}')", "import os", "os.environ['A']", "with a as b:\n    pass",
        "try:\n    x\nexcept E as e:\n    x = e", "del x", "lambda: x", "d.update(d)", "x = [x] * 2",
        "x = -x", "x = not x", "class C:\n    y = 1", "async def q():\n    pass", "x[0].y = 3", "*a, b = x",
    ]
)  # fmt: skip


@given(st.lists(PIECES, max_size=25))
def test_any_program_of_pieces_is_read(pieces: list[str]) -> None:
    script = read_script("\n".join(pieces), "t.py")
    assert all(call.line > 0 for call in script.calls)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read_script(text)
    except InputError as error:
        assert error.diagnostics
