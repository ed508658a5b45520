"""Where TrainingArguments come from: a literal call, the command's flags, a JSON or YAML file, a dict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from dsbridge.rulebook import (
    Attribute,
    CallSite,
    Document,
    Files,
    Name,
    Unread,
    Words,
    is_plain,
    json_error,
    unread,
)
from dsbridge.sdk import InputError, Source
from dsbridge_trainer import flags, trl_table
from dsbridge_trainer.classes import Class, Field, inherited
from dsbridge_trainer.roots import ROOTS, fields_of, root_of

SEQ2SEQ = (
    flags.Option("sortish_sampler", "bool", "?"),
    flags.Option("predict_with_generate", "bool", "?"),
    flags.Option("generation_max_length", "int"),
    flags.Option("generation_num_beams", "int"),
    flags.Option("generation_config", "text"),
)
PARSERS = ("HfArgumentParser", "TrlParser")
PARSES = (
    "parse_args_into_dataclasses",
    "parse_args_and_config",
    "parse_json_file",
    "parse_yaml_file",
    "parse_dict",
)


class Given(NamedTuple):
    """The arguments as given. `parser`: what HfArgumentParser says against them. `others`: other classes'.

    root: the library's class that they are of. environ: what TrlParser takes from its file's `env`.
    """

    args: dict[str, Any]
    places: Mapping[str, Source]
    parser: dict[str, Any]
    others: dict[str, Any]
    root: str = ROOTS[0]
    environ: Mapping[str, str] = MappingProxyType({})


class Context(NamedTuple):
    """What reading needs to know of the script and the command."""

    files: Files
    file: str
    classes: dict[str, Class]
    words: Words  # after the script
    version: str
    text: str = ""  # of the script
    trl: str = trl_table.NEWEST  # its release
    own: Mapping[str, Any] = MappingProxyType({})  # what the script's own argparse parser gives


def is_arguments(name: str, classes: dict[str, Class]) -> bool:
    """The class is TrainingArguments, TRL's or the script's own subclass of it."""
    return bool(root_of(name, classes))


def own_fields(name: str, context: Context) -> list[Field]:
    """What the script's own class adds to TrainingArguments, or overrides."""
    return inherited(name.rpartition(".")[2], context.classes)


def own_defaults(fields: Iterable[Field]) -> dict[str, Any]:
    """The defaults of the script's own fields."""
    return {
        f.option.name: f.default[0] if f.default else unread(f"args.{f.option.name}")
        for f in fields
        if f.given
    }


def known_names(name: str, context: Context) -> list[str]:
    """The fields in the order of the constructor."""
    root = root_of(name, context.classes)
    names = list(fields_of(root, context.version, context.trl))
    if root == ROOTS[1]:
        names += [option.name for option in SEQ2SEQ]
    names += [f.option.name for f in own_fields(name, context) if f.option.name not in names]
    return names


def from_call(call: CallSite, context: Context, before: Sequence[CallSite] = ()) -> Given:
    """`TrainingArguments(...)`. before: the calls that happen before it, for `**json.load(...)`."""
    names = known_names(call.function, context)
    loaded = _loaded(before, context) if call.more else Given({}, {}, {}, {})
    if loaded.parser:
        return loaded
    values = own_defaults(own_fields(call.function, context)) | loaded.args
    places = dict(loaded.places)
    for index, value in enumerate(call.args):
        if index < len(names):
            values[names[index]] = readable(member(value, context), f"args.{names[index]}")
            places[names[index]] = call.place(context.file, names[index], index)
    for name, value in call.keywords.items():
        values[name] = readable(member(value, context), f"args.{name}")
        places[name] = call.place(context.file, name)
    strange = [name for name in (*call.keywords, *loaded.args) if name not in names]
    parser = {"unknown": strange, "class": call.short} if strange else {}
    return Given(values, places, parser, {}, root_of(call.function, context.classes))


def _loaded(before: Sequence[CallSite], context: Context) -> Given:
    """The last JSON or YAML file that the script loads before the call."""
    loads = [call for call in before if call.function in ("json.load", "yaml.safe_load")]
    opened = loads[-1].argument("fp", 0) if loads else None
    if not isinstance(opened, CallSite) or opened.short != "open":
        return Given({}, {}, {}, {})
    name = path_of(opened.argument("file", 0), context)
    if name is None:
        return Given({}, {}, {}, {})
    data, places, parser = file_of(name, context, yaml=loads[-1].function == "yaml.safe_load")
    return Given(data if isinstance(data, dict) else {}, places, parser, {})


def file_of(name: str, context: Context, *, yaml: bool) -> tuple[Any, dict[str, Source], dict[str, Any]]:
    """A file of arguments, where its keys stand, and what reading it ends with."""
    if not context.files.has(name):
        return None, {}, {"missing": name}
    try:
        document = read_document(context.files, name, yaml=yaml)
    except ProblemError as problem:
        return None, {}, {"text": {"type": problem.kind, "message": problem.message}}
    places = {str(path[0]): at for path, at in document.values.items() if len(path) == 1}
    return document.value, places, {}


def member(value: Any, context: Context) -> Any:
    """`args.lr` of the script's own argparse parser is what the command says."""
    asked = isinstance(value, Attribute) and value.base.short in ("parse_args", "parse_known_args")
    return context.own.get(value.name, value) if asked else value


def readable(value: Any, path: str) -> Any:
    """A literal, containers included; what is not one is Unknown at its path."""
    if isinstance(value, dict):
        return {str(key): readable(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [*value] if is_plain(value) else unread(path)
    return value if is_plain(value) else unread(path)


def from_parser(call: CallSite, context: Context) -> Given:
    """What a method of HfArgumentParser returns."""
    classes = _classes(call.owner)
    if call.short == "parse_args_and_config":
        from dsbridge_trainer.trl_parser import from_config  # a script of TRL's

        found = from_config(call, classes, context)
    elif call.short == "parse_args_into_dataclasses":
        found = from_flags(call, options_of(classes, context), classes, context)
    else:
        found = _from_mapping(call, classes, context)
    if _from_elsewhere(call.owner, context):  # they may take what is left over
        unsure = {name: unread(f"parser.{name}") for name in _LEFT_OVER if name in found.parser}
        found = found._replace(parser=found.parser | unsure)
    return found._replace(root=_root(classes, context))


# what a parser says of names that none of its classes has
_LEFT_OVER = ("left", "keys", "config", "unknown")
_LIBRARIES = ("transformers", "trl")


def _given_classes(parser: Any) -> list[Name]:
    given = parser.argument("dataclass_types", 0) if isinstance(parser, CallSite) else None
    items = [given] if isinstance(given, Name) or not isinstance(given, list | tuple) else given
    return [item for item in items if isinstance(item, Name)]


def _classes(parser: Any) -> list[str]:
    return [item.name.rpartition(".")[2] for item in _given_classes(parser)]


def _from_elsewhere(parser: Any, context: Context) -> bool:
    """A class is imported from a module that nobody reads, whatever it is called there."""
    return any(
        item.name.partition(".")[0] not in _LIBRARIES and item.name not in context.classes
        for item in _given_classes(parser)
        if "." in item.name
    )


def _options(name: str, context: Context) -> list[flags.Option]:
    """One class's fields as options."""
    own = [field.option for field in own_fields(name, context)]
    root = root_of(name, context.classes)
    rows = fields_of(root, context.version, context.trl) if root else _beside(name, context)
    found = {n: flags.option_of(n, row) for n, row in rows.items()}
    if root == ROOTS[1]:
        found |= {option.name: option for option in SEQ2SEQ}
    return list((found | {option.name: option for option in own}).values())


def _beside(name: str, context: Context) -> Mapping[str, Mapping[str, Any]]:
    """The fields of TRL's ModelConfig, ScriptArguments, ..."""
    foreign = name not in context.classes and trl_table.known(name)
    return trl_table.rows(name, context.trl) if foreign else {}


def split(
    values: Mapping[str, Any], classes: Sequence[str], context: Context
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values for TrainingArguments, and those of the script's other classes, defaults included."""
    args: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name in classes:
        mine = {option.name for option in _options(name, context)}
        part = _defaults(name, context) | {k: v for k, v in values.items() if k in mine}
        (args if is_arguments(name, context.classes) else others).update(part)
    return args, others


def _defaults(name: str, context: Context) -> dict[str, Any]:
    """What a class says by itself: the script's own, and TRL's that are no training arguments."""
    beside = {key: row["default"] for key, row in _beside(name, context).items() if "default" in row}
    known = beside if not root_of(name, context.classes) else {}
    return known | own_defaults(own_fields(name, context))


def _root(classes: Sequence[str], context: Context) -> str:
    return next((root for name in classes if (root := root_of(name, context.classes))), ROOTS[0])


def words_of(call: CallSite, context: Context) -> Words:
    """The command's words after the script, unless the call gives others."""
    given = call.argument("args", 0)
    plain = isinstance(given, list | tuple) and is_plain(given)
    return Words(tuple(str(word) for word in given), 0) if plain else context.words


def options_of(classes: Sequence[str], context: Context) -> list[flags.Option]:
    """The fields of all the classes of a parser."""
    return [option for name in classes for option in _options(name, context)]


def from_flags(
    call: CallSite, options: Sequence[flags.Option], classes: Sequence[str], context: Context
) -> Given:
    """parse_args_into_dataclasses. options: those of the classes."""
    words = words_of(call, context)
    items = [*_args_file(call, context), *words.items]
    extra = len(items) - len(words.items)
    try:
        found = flags.parse(items, options)
    except flags.Bad as error:
        message = f"{context.file.rpartition('/')[2]}: error: {error}"
        return Given({}, {}, {"refused": message}, {})
    parser: dict[str, Any] = {}
    if found.left and call.argument("return_remaining_strings", 1) is not True:
        parser["left"] = found.left
    args, others = split(found.values, classes, context)
    places = {k: words.source(i - extra) for k, i in found.places.items() if i >= extra}
    return Given(args, places, parser, others)


def _args_file(call: CallSite, context: Context) -> list[str]:
    """`train.args` beside `train.py`, unless told otherwise."""
    name = context.file.rpartition(".")[0] + ".args"
    given = call.argument("args_filename", 3)
    name = given if isinstance(given, str) else name
    if call.argument("look_for_args_file", 2) is False or not context.files.has(name):
        return []
    return context.files.text(name).split()


def _from_mapping(call: CallSite, classes: list[str], context: Context) -> Given:
    """parse_json_file, parse_yaml_file, parse_dict."""
    named = {"parse_json_file": "json_file", "parse_yaml_file": "yaml_file"}.get(call.short, "args")
    value = call.argument(named, 0)
    places: dict[str, Source] = {}
    data: Any
    if call.short == "parse_dict":
        if not isinstance(value, dict):
            return Given({}, {}, {}, {})
        data = readable(value, "args")
        places = {name: call.place(context.file, "args", 0) for name in data}
    else:
        name = path_of(value, context)
        if name is None:
            return Given({}, {}, {}, {})
        data, places, parser = file_of(name, context, yaml=call.short == "parse_yaml_file")
        if parser:
            return Given({}, {}, parser, {})
    if not isinstance(data, dict):
        message = f"'{type(data).__name__}' object has no attribute 'keys'"
        return Given({}, {}, {"text": {"type": "AttributeError", "message": message}}, {})
    args, others = split(data, classes, context)
    taken = {option.name for name in classes for option in _options(name, context)}
    strange = sorted(str(key) for key in data if key not in taken)
    extra = call.argument("allow_extra_keys", 1) is True
    return Given(args, places, {"keys": strange} if strange and not extra else {}, others)


class ProblemError(Exception):
    """A file that the framework's own reader refuses."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind, self.message = kind, message


def read_document(files: Files, name: str, *, yaml: bool) -> Document:
    """JSON or YAML as the framework reads it.

    Raises:
        ProblemError: with the exception that the framework's reader raises.
    """
    if not yaml:
        wrong = json_error(files.text(name))
        if wrong:
            raise ProblemError("JSONDecodeError", wrong)
        return files.json(name)
    try:
        return files.yaml(name)
    except InputError as error:
        raise ProblemError("YAMLError", "…") from error


def path_of(value: Any, context: Context) -> str | None:
    """A literal path, or the command's word that `sys.argv[1]` is."""
    if isinstance(value, str):
        return value
    code = value.code if isinstance(value, Unread) else _code(value)
    for index in range(1, 10):
        if f"sys.argv[{index}]" in code and index <= len(context.words.items):
            return context.words.items[index - 1]
    if "sys.argv[-1]" in code and context.words.items:
        return context.words.items[-1]
    return None


def _code(value: Any) -> str:
    """The text of the argument of os.path.abspath(...)."""
    if isinstance(value, CallSite) and value.args:
        inner = value.args[0]
        return inner.code if isinstance(inner, Unread) else _code(inner)
    return ""
