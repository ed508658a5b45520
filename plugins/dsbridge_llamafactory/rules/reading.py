"""How LLaMA-Factory reads its settings (hparams/parser.py read_args), and where that stops."""

from __future__ import annotations

from dsbridge.rulebook import Evidence, OverrideRule, eq, get, is_set, missing, text, truthy
from dsbridge_llamafactory.rules._make import ev, refusal, since, until

READ = "lf.read"
_LOAD = "dict_config = OmegaConf.load(Path(sys.argv[1]).absolute())"
_MERGE = "return OmegaConf.to_container(OmegaConf.merge(dict_config, override_config))"
_OLDER = "dict_config = yaml.safe_load(Path(sys.argv[1]).absolute().read_text())"


def _older(code: str, tree: str, what: str, recorded: str) -> OverrideRule:
    return OverrideRule(
        code=code,
        title=f"{what} as PyYAML reads them",
        layer="llamafactory",
        moment=READ,
        when=is_set(get(f"older.{tree}")),
        writes=tree,
        value=get(f"older.{tree}"),
        why="Before 0.9.4 PyYAML reads the YAML, and `1e-4` is text to it; OmegaConf reads a number.",
        hint="Write 1.0e-4.",
        evidence=ev("hparams/parser.py", _OLDER, recorded, version="0.9.3"),
        fires={f"older.{tree}": {"learning_rate": "1e-4"}},
        holds={f"{tree}.learning_rate": 1e-4},
        versions=until("0.9.4"),
    )


def _stops(
    code: str,
    kind: str,
    title: str,
    quote: str,
    recorded: str,
    hint: str,
    message: str = "…",
    older: bool = True,
    package: str = "",
) -> OverrideRule:
    """A refusal of the file itself; `older`: also before 0.9.4."""
    evidence = ev("hparams/parser.py", quote, recorded)
    if package:
        evidence = (
            Evidence(package, "5.6.0", "transformers/hf_argparser.py", "", quote, f"llamafactory/{recorded}"),
        )
    return refusal(
        code,
        title,
        READ,
        (eq(get("input.problem.type"), kind),),
        text("{}", get("input.problem.message")),
        ("input.problem",),
        "The file is read before anything else.",
        hint,
        evidence,
        {"input.problem.type": kind},
        {"input.kind": "yaml"},
        kind=kind,
        versions=() if older else since("0.9.4"),
    )


READING = (
    _older("LF100", "args", "training arguments", "number/rate-without-dot"),
    _older("LF101", "ds", "numbers of an inline ds_config", "text/inline-mapping"),
    refusal(
        "LF103",
        "JSON settings",
        READ,
        (eq(get("input.kind"), "json"),),
        "'PosixPath' object has no attribute 'read'",
        ("input.kind",),
        "0.9.5 hands json.load a path instead of a file.",
        "Write the settings as YAML.",
        ev(
            "hparams/parser.py",
            "dict_config = OmegaConf.create(json.load(Path(sys.argv[1]).absolute()))",
            "text/json",
        ),
        {"input.kind": "json"},
        {"input.kind": "yaml"},
        kind="AttributeError",
        versions=since("0.9.5"),
    ),
    refusal(
        "LF097",
        "an empty file (before 0.9.4)",
        READ,
        (truthy(get("input.empty")), missing(get("input.problem"))),
        "Invalid input. Supports one of …",
        ("input.empty",),
        "PyYAML reads nothing as null, which OmegaConf cannot merge.",
        "Write the settings.",
        ev("hparams/parser.py", _MERGE, "text/empty", version="0.9.3"),
        {"input.empty": True},
        {"input.kind": "yaml"},
        versions=until("0.9.4"),
    ),
    refusal(
        "LF098",
        "no settings at all (before 0.9.5)",
        READ,
        (eq(get("input.kind"), "none"),),
        "list index out of range",
        ("input.kind",),
        "The first word is looked at before it is known that there is one.",
        "Name a YAML file.",
        ev(
            "hparams/parser.py",
            'if sys.argv[1].endswith(".yaml") or sys.argv[1].endswith(".yml"):',
            "text/no-file",
            version="0.9.3",
        ),
        {"input.kind": "none"},
        {"input.kind": "yaml"},
        kind="IndexError",
        versions=until("0.9.5"),
    ),
    _stops("LF104", "FileNotFoundError", "no such file", _LOAD, "text/not-there", "Correct the file's name."),
    _stops("LF105", "ParserError", "no YAML", _LOAD, "text/broken", "Correct the YAML."),
    _stops("LF106", "ScannerError", "no YAML, as far as words go", _LOAD, "text/tab", "Indent with spaces."),
    _stops(
        "LF107",
        "ConstructorError",
        "a key twice",
        _LOAD,
        "text/duplicate",
        "Keep one of the two.",
        older=False,
    ),
    _stops(
        "LF108",
        "GrammarParseError",
        "a ${ without an end",
        _LOAD,
        "text/interpolation-broken",
        "Close it, or remove it.",
    ),
    _stops("LF109", "TypeError", "a list of settings", _MERGE, "text/list", "Write `key: value` lines."),
    _stops(
        "LF099",
        "SystemExit",
        "a word that argparse cannot read",
        "namespace, remaining_args = self.parse_known_args(args=args)",
        "flags/not-a-choice",
        "Correct the word.",
        package="transformers",
    ),
)
