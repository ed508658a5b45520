"""TrlParser.parse_args_and_config: a YAML of defaults, and the command's flags over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dsbridge.rulebook import CallSite
from dsbridge.sdk import Source
from dsbridge_trainer import flags
from dsbridge_trainer.parsing import Context, Given, file_of, from_flags, options_of, split, words_of

_CONVERTED = ("int", "float", "bool")


def from_config(call: CallSite, classes: list[str], context: Context) -> Given:
    """What the call returns."""
    items = words_of(call, context).items
    if "--config" not in items:
        return _flags(call, classes, context)
    index = items.index("--config")
    if index + 1 == len(items):
        return Given({}, {}, {"refused": "pop index out of range"}, {})
    data, places, problem = file_of(items[index + 1], context, yaml=True)
    if problem:
        return Given({}, {}, problem, {})
    if not isinstance(data, dict):
        return Given({}, {}, {"list": items[index + 1]}, {})
    return _over(call, classes, context, data, places)


def _flags(call: CallSite, classes: list[str], context: Context) -> Given:
    """The call's first arguments are those of parse_args_into_dataclasses."""
    return from_flags(call, options_of(classes, context), classes, context)


def _over(
    call: CallSite, classes: list[str], context: Context, data: dict[Any, Any], places: dict[str, Source]
) -> Given:
    """The file's values as argparse's defaults."""
    environ = data.get("env")
    values = {str(key): value for key, value in data.items() if key != "env"}
    options = options_of(classes, context)
    try:
        known = _defaults(values, options)
    except flags.Bad as error:
        name = context.file.rpartition("/")[2]
        return Given({}, {}, {"refused": f"{name}: error: {error}"}, {})
    relaxed = [o._replace(required=False) if o.name in known else o for o in options]
    # the real one takes --config out before it looks at the others
    found = from_flags(call, [*relaxed, flags.Option("config", "text")], classes, context)
    args, others = split(known, classes, context)
    parser = dict(found.parser)
    strange = [key for key in values if key not in known]
    if strange and _refuses(call):
        parser["config"] = [word for key in strange for word in (f"--{key}", str(values[key]))]
    own = {key: at for key, at in places.items() if key in known}
    return Given(
        args | found.args,
        {**own, **found.places},
        parser,
        others | found.others,
        environ={str(k): str(v) for k, v in environ.items()} if isinstance(environ, dict) else {},
    )


def _defaults(values: Mapping[str, Any], options: Sequence[flags.Option]) -> dict[str, Any]:
    """argparse converts a default that is text, such as YAML's 2e-5, as if it were a word."""
    known = {option.name: option for option in options}
    found = {}
    for name, value in values.items():
        option = known.get(name)
        if option is None:
            continue
        text = isinstance(value, str) and option.kind in _CONVERTED
        found[name] = flags.converted(option, value) if text else value
    return found


def _refuses(call: CallSite) -> bool:
    """It stops at keys of the file that no class has."""
    remaining = call.argument("return_remaining_strings", 1) is True
    return not remaining and call.argument("fail_with_unknown_args", 2) is not False
