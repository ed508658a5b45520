"""A script that calls `deepspeed.initialize` itself, read into the trees that the rules know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from dsbridge.deepspeed.file import Read, not_a_config, read_config
from dsbridge.deepspeed.moments import BARE, ENGINE, INITIALIZE, PARSE, ZERO_INIT
from dsbridge.formats.arguments import Arguments, read_arguments
from dsbridge.formats.calls import Attribute, CallSite, Name, Script, Unread
from dsbridge.formats.script_files import Loaded, read_with_files
from dsbridge.provenance import Source
from dsbridge.reading import Guess, Reader, Reading, Setup, unread
from dsbridge.rules import Call
from dsbridge.trees import flat
from dsbridge.values import UNSET, Unknown

VERSIONS = {"deepspeed": "0.19.8"}
# Where deepspeed.initialize takes its arguments by position.
_POSITIONS = {"args": 0, "model": 1, "optimizer": 2, "lr_scheduler": 5, "config": 10, "config_params": 12}
if TYPE_CHECKING:
    from dsbridge.claims import Draft

_STARTS = ("init_distributed", "init_process_group")
_SCHEDULER_MAKERS = ("get_scheduler", "get_linear_schedule_with_warmup", "get_cosine_schedule_with_warmup")


class _Program(NamedTuple):
    """The script with its command line."""

    script: Script
    loaded: tuple[Loaded, ...]
    arguments: Arguments | None


def recognises(setup: Setup) -> int:
    """3 for a script that calls deepspeed.initialize, 1 for a lone DeepSpeed config."""
    path = _script_of(setup)
    if path:
        text = setup.files.text(path) if setup.files.has(path) else ""
        others = any(name in text for name in ("Trainer(", "Accelerator("))
        if "deepspeed.initialize(" in text:
            return 2 if others else 3
        return 1 if "initialize(" in text and "import deepspeed" in text else 0
    return 1 if any(name.endswith((".json", ".hjson")) for name in setup.given) else 0


def _script_of(setup: Setup) -> str:
    items = setup.words.items or tuple(name for name in setup.given if name.endswith(".py"))
    if items[:1] == ("-m",) and len(items) > 1:
        return items[1].replace(".", "/") + ".py"
    return items[0] if items and items[0].endswith(".py") else ""


def command_of(setup: Setup) -> Guess | None:
    """A script, or a lone config that a script of two lines would use."""
    script = next((name for name in setup.given if name.endswith(".py")), "")
    config = next((name for name in setup.given if name.endswith((".json", ".hjson"))), "")
    if script:
        words = ("torchrun", script, *(("--deepspeed", "--deepspeed_config", config) if config else ()))
        return Guess(words)
    return Guess(("torchrun", config)) if config else None


def read(setup: Setup) -> Reading:
    """Everything that is handed to deepspeed.initialize.

    Raises:
        InputError: the script is absent or no Python.
    """
    path = _script_of(setup)
    if not path:
        return _lone_config(setup)
    program = _program(setup, path)
    call = next((c for c in program.script.named("initialize") if not c.maybe), None)
    call = call or next(iter(program.script.named("initialize")), None)
    trees: dict[str, Any] = {"given": {"call": call is not None, "has_model": True}, "init": {}}
    sources: dict[str, Source] = {}
    stop = _first_stop(program, call)
    if stop is not None:
        trees["given"]["stop"] = stop
    if call is not None:
        _config(setup, program, call, trees, sources)
        _others(program, call, trees)
        _zero_init(setup, program, call, trees)
    trees["given"]["env"] = {name: name in setup.environ for name in ("RANK", "LOCAL_RANK")}
    return Reading(trees, sources)


def _lone_config(setup: Setup) -> Reading:
    """A DeepSpeed config alone: what its engine would be, as far as a config says."""
    name = setup.words.items[0] if setup.words.items else setup.given[0]
    found = read_config(setup.files, name)
    trees = lone_trees(found.value)
    if "ds" not in trees:
        trees["given"]["problem"] = found.problem
    return Reading(trees, found.sources)


def lone_trees(value: Any) -> dict[str, Any]:
    """The trees of a config by itself: nobody knows which optimizer the script makes."""
    trees: dict[str, Any] = {
        "given": {"call": True, "config": True, "has_model": True, "path": True},
        "init": {},
    }
    if isinstance(value, dict):
        trees["ds"] = value
        if "optimizer" not in value:
            trees["init"]["optimizer"] = {"class": unread("init.optimizer.class")}
    return trees


def _program(setup: Setup, path: str) -> _Program:
    text = setup.files.text(path)
    words = setup.words.items[2:] if setup.words.items[:1] == ("-m",) else setup.words.items[1:]
    script, loaded = read_with_files(text, path, setup.environ, setup.files.text)
    arguments = read_arguments(script, words)
    if arguments is not None and arguments.values:
        script, loaded = read_with_files(text, path, setup.environ, setup.files.text, arguments.values)
    return _Program(script, loaded, arguments)


def _first_stop(program: _Program, call: CallSite | None) -> dict[str, Any] | None:
    """What ends the script before it comes to DeepSpeed: its own command line, a file it loads."""
    end = call.number if call is not None else len(program.script.calls)
    stops: list[tuple[int, dict[str, Any]]] = []
    arguments = program.arguments
    if arguments is not None and arguments.error:
        stop = {"type": "SystemExit", "message": arguments.error, "field": "args"}
        stops.append((arguments.before, stop))
    for loaded in program.loaded:
        if loaded.error is not None:
            kind, message = loaded.error
            stops.append((loaded.before, {"type": kind, "message": message, "field": loaded.file}))
    stops = [(number, stop) for number, stop in stops if number <= end]
    return min(stops, key=lambda entry: entry[0])[1] if stops else None


def _argument(program: _Program, call: CallSite, name: str) -> Any:
    """An argument of the call with the script's command line put in."""
    return _resolved(program, call.argument(name, _POSITIONS.get(name), UNSET))


def _resolved(program: _Program, value: Any) -> Any:
    if isinstance(value, Attribute):
        arguments = program.arguments
        of_parser = value.base.short in ("parse_args", "parse_known_args")
        if arguments is not None and of_parser and value.name in arguments.values:
            return arguments.values[value.name]
    return value


def _config(
    setup: Setup, program: _Program, call: CallSite, trees: dict[str, Any], sources: dict[str, Source]
) -> None:
    """The config, from wherever DeepSpeed takes it."""
    given = trees["given"]
    config = _none_is_unset(_argument(program, call, "config"))
    if config is UNSET:
        config = _none_is_unset(_argument(program, call, "config_params"))
    named, old = _from_args(program, call)
    given["both_names"] = named is not UNSET and old is not UNSET
    named = old if named is UNSET else named
    given["twice"] = config is not UNSET and named is not UNSET
    config = named if config is UNSET else config
    given["config"] = config is not UNSET
    if config is UNSET:
        return
    if isinstance(config, str):
        given["path"] = True
        found = read_config(setup.files, config)
        _take(found, trees, sources)
    elif isinstance(config, dict):
        trees["ds"] = _values(program, config, "ds")
        place = call.place(program.script.file, "config", _POSITIONS["config"])
        sources.update({f"ds.{path}": _place(program, path, place) for path in flat(trees["ds"]) if path})
    elif isinstance(config, Unread | CallSite | Attribute | Name | Unknown):
        trees["init"]["config"] = unread("init.config")
    else:
        given["problem"] = not_a_config(config)


def _none_is_unset(value: Any) -> Any:
    return UNSET if value is None else value


def _from_args(program: _Program, call: CallSite) -> tuple[Any, Any]:
    """args.deepspeed_config and the older args.deepscale_config."""
    args = call.argument("args", _POSITIONS["args"])
    if isinstance(args, CallSite) and args.short in ("parse_args", "parse_known_args"):
        values = program.arguments.values if program.arguments is not None else {}
    elif isinstance(args, CallSite):
        values = {**args.keywords}
    else:
        values = {}
    names = ("deepspeed_config", "deepscale_config")
    first, second = (_none_is_unset(values.get(name)) for name in names)
    return first, second


def _take(found: Read, trees: dict[str, Any], sources: dict[str, Source]) -> None:
    sources.update(found.sources)
    if isinstance(found.value, dict) and found.problem is None:
        trees["ds"] = found.value
    else:
        trees["given"]["problem"] = found.problem


def _values(program: _Program, value: Any, path: str) -> Any:
    """A literal of the script, with what only a run would give as Unknown."""
    value = _resolved(program, value)
    if isinstance(value, Unread | CallSite | Attribute | Name):
        return unread(path)
    if isinstance(value, dict):
        return {str(key): _values(program, item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_values(program, item, f"{path}.{index}") for index, item in enumerate(value)]
    return value


def _place(program: _Program, path: str, otherwise: Source) -> Source:
    """Where a value of a literal stands; the file it was loaded from, if it was."""
    return Source(program.loaded[-1].file) if program.loaded else otherwise


def _others(program: _Program, call: CallSite, trees: dict[str, Any]) -> None:
    """The model, the optimizer and the scheduler that the script gives."""
    if _argument(program, call, "model") is None:
        trees["given"]["has_model"] = False
    for name, key in (("optimizer", "optimizer"), ("lr_scheduler", "scheduler")):
        value = _none_is_unset(_argument(program, call, name))
        if value is not UNSET:
            trees["init"][key] = _object(value, f"init.{key}")


def _object(value: Any, path: str) -> Any:
    """An optimizer or scheduler by its class, as `package.Class`."""
    if isinstance(value, CallSite):
        if value.short in _SCHEDULER_MAKERS:
            return {"class": "torch.LambdaLR"}
        package = value.function.partition(".")[0]
        return {"class": f"{package}.{value.short}" if "." in value.function else unread(f"{path}.class")}
    if isinstance(value, Name) or (isinstance(value, Unread) and value.code.startswith("lambda")):
        return {"callable": True, "class": unread(f"{path}.class")}
    if isinstance(value, Unread | Attribute | Unknown):
        return {"class": unread(f"{path}.class")}
    return {"wrong_type": type(value).__name__}


def _zero_init(setup: Setup, program: _Program, call: CallSite, trees: dict[str, Any]) -> None:
    """A model that is partitioned while it is made parses a config before the engine does."""
    before = program.script.calls[: call.number]
    started = [c.number for c in before if c.short in _STARTS]
    made = next((c for c in before if c.function.endswith("zero.Init")), None)
    told = next((c for c in before if c.short == "HfDeepSpeedConfig"), None)
    loads = next((c for c in before if _is_model(c)), None)
    if made is not None:
        config, number = made.argument("config_dict_or_path", 3), made.number
    elif told is not None and loads is not None and told.number < loads.number:
        config, number = told.argument("config_file_or_dict", 0), loads.number
    else:
        return
    config = _resolved(program, config)
    if isinstance(config, str):
        config = read_config(setup.files, config).value
    if not isinstance(config, dict):
        return
    values = _values(program, config, "ds")
    zero = values.get("zero_optimization")
    if made is None and not (isinstance(zero, Mapping) and zero.get("stage") == 3):
        return
    trees["zero_init_config"] = values
    trees["zero_init"] = {"started": any(start < number for start in started)}


def _is_model(call: CallSite) -> bool:
    """A model of transformers that is loaded here."""
    other = ("AutoConfig", "Tokenizer", "Processor")
    return call.short in ("from_pretrained", "from_config") and not any(n in call.function for n in other)


PROGRAM = (
    *BARE,
    "deepspeed.zero_init",
    Call("zero.Init", ZERO_INIT, "zero_init_config", PARSE),
    "deepspeed.zero_init_done",
    "deepspeed.given",
    "deepspeed.begin",
    *INITIALIZE,
    *PARSE,
    *ENGINE,
)


def _parse(setup: Setup, reading: Reading) -> Draft:
    from dsbridge.deepspeed.parsing import parse  # explaining needs none of it

    return parse(setup, reading)


READER = Reader(recognises, command_of, read, PROGRAM, ("deepspeed",), VERSIONS, _parse)
