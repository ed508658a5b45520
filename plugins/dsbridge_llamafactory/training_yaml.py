"""`train.yaml`: written anew in LLaMA-Factory's own order, or into the user's file."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dsbridge.sdk import Base, Diagnostic, InputError, Source, to_yaml
from dsbridge_llamafactory import codes
from dsbridge_llamafactory.fields import SECTIONS
from dsbridge_trainer.merge import into_base

if TYPE_CHECKING:
    from ruamel.yaml import YAML

HEADER = "# Written by dsbridge"


def new_yaml(keys: Mapping[str, Any], header: str) -> str:
    """The file with its groups, as LLaMA-Factory's examples have them."""
    blocks = [f"### {name}\n{to_yaml(part)}" for name, part in _grouped(keys)]
    return f"# {header}\n\n" + "\n".join(blocks)


def _grouped(keys: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    named = {key for group in SECTIONS.values() for key in group}
    for name, group in SECTIONS.items():
        order = [key for key in group if key in keys]
        if name == "train":
            order += [key for key in keys if key not in named]
        if order:
            yield name, {key: keys[key] for key in order}


def read_base(base: Base) -> Any:
    """The user's file as a mapping that keeps its comments.

    Raises:
        InputError: ruamel.yaml is missing, or the file is no YAML mapping of keys.
    """
    editor = _editor()
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    text = _without_header(base.text)
    moved = len(base.text.splitlines()) - len(text.splitlines())
    try:
        found = editor.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 + moved if mark else None
        at = Source(base.name, line, mark.column + 1 if mark else None)
        problem = str(error.problem or error.context or "no YAML").splitlines()[0]
        raise InputError([codes.BAD_BASE(f"not YAML: {problem}", at=at)]) from None
    except (YAMLError, ValueError, RecursionError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError([codes.BAD_BASE(f"not YAML: {first}", at=Source(base.name, 1))]) from None
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        hint = "The base of this target is a LLaMA-Factory training YAML."
        message = "holds no mapping of keys to values"
        raise InputError([codes.BAD_BASE(message, hint=hint, at=Source(base.name, 1))])
    return found


def edit(
    base: Any, name: str, keys: Mapping[str, Any], header: str, without: tuple[str, ...]
) -> tuple[str, list[Diagnostic]]:
    """The user's file with the rendered keys in it; comments and order stay."""
    new, found = into_base(base, {k: _node(v) for k, v in keys.items()}, name, without, _remove)
    if new:
        base.yaml_set_comment_before_after_key(new[0], before="added by dsbridge from the spec")
    out = io.StringIO()
    _editor().dump(base, out)
    return f"# {header}\n{out.getvalue()}", found


def _remove(base: Any, key: str) -> None:
    """Take a key out, but not the comments below it, which ruamel hangs on the key above them."""
    names = list(base)
    before = names[names.index(key) - 1] if names[0] != key else None
    hung = base.ca.items.get(key)
    below = hung[2].value.partition("\n")[2] if hung and hung[2] else ""
    del base[key]
    base.ca.items.pop(key, None)
    if not below:
        return
    if before is None:
        plain = "\n".join(line.lstrip("# ") for line in below.strip().splitlines())
        base.yaml_set_comment_before_after_key(next(iter(base), None), before=plain)
    elif base.ca.items.get(before, [None] * 4)[2]:
        base.ca.items[before][2].value += below
    else:
        hung[2].value = "\n" + below
        base.ca.items[before] = [None, None, hung[2], None]


def _without_header(text: str) -> str:
    """A file that dsbridge wrote before starts with a line of its own, which is replaced."""
    return text.split("\n", 1)[-1] if text.startswith(HEADER) else text


def _node(value: Any) -> Any:
    """A value as ruamel must hold it for PyYAML to read the same: YAML 1.1 has other bare words."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, str) and to_yaml([value])[2:3] in "'\"":
        return DoubleQuotedScalarString(value)
    if isinstance(value, dict):
        return {key: _node(each) for key, each in value.items()}
    return [_node(each) for each in value] if isinstance(value, list) else value


def _editor() -> YAML:
    try:
        from ruamel.yaml import YAML
        from ruamel.yaml.representer import RoundTripRepresenter
    except ImportError:
        hint = 'Install it: pip install "dsbridge[edit]".'
        raise InputError([codes.NO_EDITOR("--base needs ruamel.yaml", hint=hint)]) from None

    class Representer(RoundTripRepresenter):  # type: ignore[misc,unused-ignore]
        """Floats as PyYAML writes them: to it `1e-05` is text."""

    def number(representer: Any, value: float) -> Any:
        return representer.represent_scalar("tag:yaml.org,2002:float", to_yaml(value).split("\n")[0])

    Representer.add_representer(float, number)
    editor = YAML()
    editor.Representer = Representer
    editor.preserve_quotes = True
    editor.width = 10**6
    return editor
