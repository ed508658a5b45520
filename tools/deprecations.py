"""What a package's own source says of an argument that is on its way out: the text, and what to use instead.

A field's help, and the warnings and errors of the module, are read from the syntax tree; nothing is executed.
The replacement is taken only where the text names another argument of the same class.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator

# "`--x` is deprecated", "`a` and `b` are deprecated", "deprecated `--x` argument"
SUBJECTS = (
    re.compile(
        r"(?<!for )(?:^|(?<=[\s`]))(?<!for `)(?:--)?(\w+)`?(?: and `?(?:--)?(\w+)`?)? (?:is|are) deprecated"
    ),
    re.compile(r"[Dd]eprecated `(?:--)?(\w+)` argument"),
)
# of the field itself: "Deprecated, the use of ...", "This argument is deprecated"; not "launch (Deprecated)"
OF_ITSELF = re.compile(r"^\s*(?:deprecated\b|this (?:argument|parameter) is deprecated)", re.IGNORECASE)
INSTEAD = (
    re.compile(r"alias of `?(?:--)?(\w+)"),
    re.compile(r"\b[Uu]se `?(?:--)?(\w+)"),
    re.compile(r"use of `?(?:--)?(\w+)`? is preferred"),
    re.compile(r"[Pp]lease set `?(?:--)?(\w+)"),
    re.compile(r"in favou?r of `?(?:--)?(\w+)"),
)
CALLS = ("warn", "warning", "warning_once", "warn_once")


def deprecations(source: str, names: Collection[str], helps: dict[str, str]) -> dict[str, dict[str, str]]:
    """For each argument that the source calls deprecated: `text`, and `instead` where it can be read."""
    found: dict[str, dict[str, str]] = {}
    for text in said(source):
        for pattern in SUBJECTS:
            for match in pattern.finditer(text):
                for name in filter(None, match.groups()):
                    if name in names and name not in found:
                        found[name] = row(text, name, names)
    for name, text in helps.items():
        if OF_ITSELF.search(text) and "instead" not in found.get(name, {}):
            found[name] = row(text, name, names)
    return dict(sorted(found.items()))


def row(text: str, name: str, names: Collection[str]) -> dict[str, str]:
    """The text on one line, and the argument that it points to."""
    text = " ".join(text.split())
    for pattern in INSTEAD:
        for match in pattern.finditer(text):
            if match[1] != name and match[1] in names:
                return {"text": text, "instead": match[1]}
    return {"text": text}


def said(source: str) -> Iterator[str]:
    """The texts of warnings and errors; what an f-string fills in is `...`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args:
            name = ast.unparse(node.func).rsplit(".", 1)[-1]
            if name in CALLS or name.endswith("Error"):
                text = text_of(node.args[0])
                if "deprecated" in text.lower():
                    yield text


def text_of(node: ast.expr) -> str:
    """A literal text, or "" for what is none."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) if isinstance(part, ast.Constant) else "..." for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return text_of(node.left) + text_of(node.right)
    return ""


def fields_of(source: str, kind: str) -> dict[str, str]:
    """The fields that a dataclass declares in a source, with the help of each."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name == kind:
            return {
                item.target.id: _help(item.value)
                for item in node.body
                if isinstance(item, ast.AnnAssign)
                and isinstance(item.target, ast.Name)
                and not item.target.id.startswith("_")
                and not ast.unparse(item.annotation).startswith("ClassVar")
                and not _kept_out(item.value)
            }
    return {}


def _words(value: ast.expr | None) -> Iterable[ast.keyword]:
    return value.keywords if isinstance(value, ast.Call) else ()


def _kept_out(value: ast.expr | None) -> bool:
    return any(word.arg == "init" and ast.unparse(word.value) == "False" for word in _words(value))


def _help(value: ast.expr | None) -> str:
    for word in _words(value):
        if word.arg == "metadata" and isinstance(word.value, ast.Dict):
            for key, text in zip(word.value.keys, word.value.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "help":
                    return text_of(text)
    return ""
