"""Harvest the arguments that LLaMA-Factory's YAML takes, from the sources of some versions. Imports none.

    python tools/harvest_llamafactory.py --out plugins/dsbridge_llamafactory/arguments.json \
        --lines plugins/dsbridge_llamafactory/rules/lines.json \
        llamafactory=0.9.3:FOLDER ... transformers=4.52.4:FOLDER ...

FOLDER holds the package: a site-packages, or an unpacked wheel. LLaMA-Factory's own arguments go by its
version, those it inherits from TrainingArguments by Transformers'. An argument is [class, kind, choices,
default, since, until], a template [since, until]; "" where it is in the oldest or newest version harvested.
`until` is excluded; a default that is made by a function is null; choices that changed are a mapping from
the version on which they hold.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent.parent)]

from tools.deprecations import deprecations  # noqa: E402
from tools.deprecations import fields_of as helps_of  # noqa: E402

# The classes that HfArgumentParser gets, in its order, with the file and the root class of each.
CLASSES = {
    "model": ("llamafactory/hparams/model_args.py", "ModelArguments"),
    "data": ("llamafactory/hparams/data_args.py", "DataArguments"),
    "training": ("llamafactory/hparams/training_args.py", "TrainingArguments"),
    "finetuning": ("llamafactory/hparams/finetuning_args.py", "FinetuningArguments"),
    "generating": ("llamafactory/hparams/generating_args.py", "GeneratingArguments"),
}
# what `llamafactory-cli eval` takes instead of the training's; get_infer_args has no class of its own
EVALUATION = {"evaluation": ("llamafactory/hparams/evaluation_args.py", "EvaluationArguments")}
INHERITED = ("transformers/training_args.py", "transformers/training_args_seq2seq.py")
KINDS = ("bool", "int", "float", "str", "dict", "list")

Argument = tuple[str, str, tuple[Any, ...], Any]


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description="Harvest LLaMA-Factory's arguments.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--lines", type=Path, help="also write on which lines the rules' quotes stand")
    parser.add_argument("sources", nargs="+", metavar="PACKAGE=VERSION:FOLDER")
    options = parser.parse_args()
    found: dict[str, dict[str, dict[str, Argument]]] = {"llamafactory": {}, "transformers": {}}
    templates: dict[str, dict[str, Argument]] = {}
    evaluation: dict[str, dict[str, Argument]] = {}
    deprecated: dict[str, dict[str, Argument]] = {}
    folders: dict[tuple[str, str], Path] = {}
    for source in options.sources:
        package, _, rest = source.partition("=")
        version, _, folder = rest.partition(":")
        folders[package, version] = Path(folder)
        harvest = own if package == "llamafactory" else inherited
        found[package][version] = dict(harvest(Path(folder)))
        if package == "llamafactory":
            evaluation[version] = dict(own(Path(folder), EVALUATION))
            deprecated[version] = dict(said(Path(folder)))
            templates[version] = dict.fromkeys(template_names(Path(folder)), ("", "", (), None))
    table = {
        "generated_by": "tools/harvest_llamafactory.py",
        "versions": {package: sorted(versions, key=order) for package, versions in found.items()},
        "arguments": {package: merged(versions) for package, versions in found.items()},
        "evaluation": merged(evaluation),
        # what the package's own help says: text, since, until
        "deprecated": {name: [row[0], *row[-2:]] for name, row in merged(deprecated).items()},
        "templates": {name: row[-2:] for name, row in merged(templates).items()},
    }
    options.out.write_text(to_text(table), encoding="utf-8")
    if options.lines:
        options.lines.write_text(json.dumps(quoted_lines(folders), indent=0) + "\n", encoding="utf-8")


def quoted_lines(folders: dict[tuple[str, str], Path]) -> dict[str, str]:
    """The line of each rule's quote in the sources of its version. Needs dsbridge and its plugins."""
    from dsbridge_llamafactory.rules import all_rules

    found = {}
    for rule in all_rules():
        proof = rule.evidence[0]
        text = (folders[proof.package, proof.version] / proof.file).read_text(encoding="utf-8")
        lines = [number for number, line in enumerate(text.splitlines(), 1) if proof.quote in line]
        assert lines, f"{rule.code}: {proof.file} has no {proof.quote!r}"
        found[rule.code] = str(lines[0])
    return found


def to_text(table: dict[str, Any]) -> str:
    """JSON with one argument a line."""
    blocks = [
        f'"generated_by": {json.dumps(table["generated_by"])}',
        f'"versions": {json.dumps(table["versions"])}',
    ]
    more = [(name, table[name]) for name in ("evaluation", "deprecated", "templates")]
    for package, arguments in [*table["arguments"].items(), *more]:
        rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in arguments.items())
        blocks.append(f'"{package}": {{\n{rows}\n}}')
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def order(version: str) -> tuple[int, ...]:
    """The numbers of a version."""
    return tuple(int(part) for part in version.split("."))


def own(folder: Path, kinds: Mapping[str, tuple[str, str]] = CLASSES) -> Iterator[tuple[str, Argument]]:
    """LLaMA-Factory's arguments, with the class each belongs to."""
    enums = enums_of(folder / "llamafactory/extras/constants.py")
    for label, (file, root) in kinds.items():
        classes = classes_of(folder / file)
        for name in lineage(root, classes):
            for field, *row in fields_of(classes[name], enums):
                yield field, (label, *row)


def said(folder: Path) -> Iterator[tuple[str, Argument]]:
    """The arguments that LLaMA-Factory's own classes call deprecated, with the text in place of the class."""
    for file, root in CLASSES.values():
        source = (folder / file).read_text(encoding="utf-8")
        for name in lineage(root, classes_of(folder / file)):
            helps = helps_of(source, name)
            for field, row in deprecations(source, helps, helps).items():
                yield field, (row["text"], "", (), None)


def inherited(folder: Path) -> Iterator[tuple[str, Argument]]:
    """TrainingArguments and Seq2SeqTrainingArguments."""
    for file in INHERITED:
        for name, node in classes_of(folder / file).items():
            if name.endswith("TrainingArguments"):
                for field, *row in fields_of(node, {}):
                    yield field, ("training", *row)


def template_names(folder: Path) -> Iterator[str]:
    """The first argument of each `register_template(name=...)`."""
    text = (folder / "llamafactory/data/template.py").read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "register_template":
            yield next(ast.literal_eval(word.value) for word in node.keywords if word.arg == "name")


def classes_of(path: Path) -> dict[str, ast.ClassDef]:
    """The classes of a file by name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def lineage(root: str, classes: dict[str, ast.ClassDef]) -> Iterator[str]:
    """The class and those of the same file that it inherits from, bases first."""
    for base in classes[root].bases:
        if isinstance(base, ast.Name) and base.id in classes:
            yield from lineage(base.id, classes)
    yield root


def enums_of(path: Path) -> dict[str, dict[str, str]]:
    """The members of the file's enums of text."""
    return {
        name: {
            ast.unparse(item.targets[0]): ast.literal_eval(item.value)
            for item in node.body
            if isinstance(item, ast.Assign)
        }
        for name, node in classes_of(path).items()
        if "Enum" in ast.unparse(node.bases[-1] if node.bases else ast.Constant(""))
    }


def fields_of(
    node: ast.ClassDef, enums: dict[str, dict[str, str]]
) -> Iterator[tuple[str, str, tuple[Any, ...], Any]]:
    """The dataclass fields that __init__ takes: name, kind, choices, default."""
    for item in node.body:
        if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
            continue
        kind = ast.unparse(item.annotation)
        if kind.startswith("ClassVar") or item.target.id.startswith("_") or _kept_out(item.value):
            continue
        choices = next(
            (_literals(part) for part in ast.walk(item.annotation) if isinstance(part, ast.Subscript)
             and ast.unparse(part.value) == "Literal"), ())  # fmt: skip
        choices = choices or tuple(enums.get(kind, {}).values())
        default = _default(item.value, enums)
        yield item.target.id, "choice" if choices else kind_of(kind), choices, default


def _default(value: ast.expr | None, enums: dict[str, dict[str, str]]) -> Any:
    """The literal after `=`, or that of `field(default=...)`."""
    words = value.keywords if isinstance(value, ast.Call) else []
    given = next((word.value for word in words if word.arg == "default"), value)
    if isinstance(given, ast.Attribute) and ast.unparse(given.value) in enums:
        return enums[ast.unparse(given.value)][given.attr]
    try:
        return None if given is None else ast.literal_eval(given)
    except ValueError:
        return None


def _kept_out(value: ast.expr | None) -> bool:
    """`field(init=False)`."""
    words = value.keywords if isinstance(value, ast.Call) else []
    return any(word.arg == "init" and ast.unparse(word.value) == "False" for word in words)


def _literals(node: ast.Subscript) -> tuple[Any, ...]:
    value = ast.literal_eval(node.slice)
    return value if isinstance(value, tuple) else (value,)


def kind_of(annotation: str) -> str:
    """What HfArgumentParser makes of an annotation: of a union with str, str."""
    words = annotation.replace("Optional[", "").replace("Union[", "").replace("]", "").replace("|", ",")
    parts = [part.strip().strip("'\"").split("[")[0] for part in words.split(",")]
    parts = [part for part in parts if part != "None"]
    return next((kind for kind in ("list", "str", *KINDS) if kind in parts), "str")


def merged(versions: dict[str, dict[str, Argument]]) -> dict[str, list[Any]]:
    """Each argument as its newest version has it, with the versions it is in."""
    ordered = sorted(versions, key=order)
    table: dict[str, list[Any]] = {}
    for name in sorted({name for found in versions.values() for name in found}):
        have = [version for version in ordered if name in versions[version]]
        label, kind, _, default = versions[have[-1]][name]
        since = "" if have[0] == ordered[0] else have[0]
        later = ordered[ordered.index(have[-1]) + 1 :]
        table[name] = [
            label,
            kind,
            _changing(name, have, versions),
            default,
            since,
            later[0] if later else "",
        ]
    return table


def _changing(name: str, have: list[str], versions: dict[str, dict[str, Argument]]) -> Any:
    """The choices; where they changed, by the version from which on they hold."""
    found: dict[str, list[Any]] = {}
    for version in have:
        choices = list(versions[version][name][2])
        if not found or choices != found[list(found)[-1]]:
            found[version if found else ""] = choices
    return found[""] if len(found) == 1 else found


if __name__ == "__main__":
    main()
