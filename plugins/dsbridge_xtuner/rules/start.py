"""tools/train.py up to check_cfg: flags, config, --cfg-options; and the files it opens."""

from __future__ import annotations

from dsbridge.rulebook import all_of, get, is_set, text, truthy
from dsbridge_xtuner.rules._make import TRAIN, ev, refusal

_FLAGS = get("flags.problem")
_OPTIONS = get("options.problem")
_PROBLEM = {"type": "SystemExit", "message": "…", "fields": ["flags.seed"]}

START = (
    refusal(
        "XT100",
        "the flags cannot be read",
        "arguments",
        is_set(_FLAGS),
        (get("flags.problem.type"), get("flags.problem.message"), get("flags.problem.fields")),
        "argparse stops at a flag that it does not know, or whose value it cannot take.",
        ev("xtuner", TRAIN, "0", "args = parser.parse_args()", "flag/unknown"),
        {"flags.problem": _PROBLEM},
        {"flags.config": "cfg.py"},
        hint="`xtuner train --help` lists the flags; settings of the config go behind --cfg-options "
        "as KEY=VALUE.",
    ),
    refusal(
        "XT101",
        "the config is neither a file nor a name that XTuner knows",
        "config",
        truthy(get("config.missing")),
        ("FileNotFoundError", text("Cannot find {}", get("flags.config")), ("flags.config",)),
        "XTuner looks for a file first, then among the names of its own configs.",
        ev("xtuner", TRAIN, "0", 'raise FileNotFoundError(f"Cannot find {args.config}")', "flag/name-gone"),
        {"config.missing": True, "flags.config": "x"},
        {"flags.config": "cfg.py"},
        hint="Give the path of your config, or a name that `xtuner list-cfg` prints.",
    ),
    refusal(
        "XT105",
        "the config uses what it has only imported by name",
        "config",
        is_set(get("config.problem")),
        (get("config.problem.type"), get("config.problem.message"), get("config.problem.fields")),
        "mmengine imports nothing while it reads a config: an imported name, `os` too, can only be named.",
        ev("mmengine", "config/lazy.py", "0", "raise RuntimeError()", "followed/environ-get"),
        {"config.problem": {"type": "RuntimeError", "message": "", "fields": ["config"]}},
        {"flags.config": "cfg.py"},
        hint="Write the value out, or give it with --cfg-options.",
    ),
    refusal(
        "XT102",
        "an option cannot be merged into the config",
        "options",
        is_set(_OPTIONS),
        (get("options.problem.type"), get("options.problem.message"), get("options.problem.fields")),
        "mmengine merges `a.b=1` below `a` only if `a` is a mapping or a list.",
        ev(
            "mmengine",
            "config/config.py",
            "0",
            "if not isinstance(b[k], allowed_types):",
            "flag/options-through-number",
        ),
        {"options.problem": _PROBLEM},
        {"cfg.use_varlen_attn": False},
        hint="Name a key that the config has.",
    ),
    refusal(
        "XT103",
        "the checkpoint of --resume is not there",
        "resume",
        all_of(is_set(get("flags.resume")), truthy(get("flags.resume_missing"))),
        ("FileNotFoundError", text("Cannot find {}", get("flags.resume")), ("flags.resume",)),
        "XTuner takes the seed from the checkpoint before anything else.",
        ev(
            "xtuner",
            "tools/utils.py",
            "0",
            'raise FileNotFoundError(f"Cannot find {pth_model}")',
            "flag/resume-missing",
        ),
        {"flags.resume": "x.pth", "flags.resume_missing": True},
        {"flags.resume": "x.pth"},
        hint="Give the checkpoint's file or folder.",
    ),
    refusal(
        "XT104",
        "the DeepSpeed file is neither a file nor a built-in name",
        "huggingface.deepspeed",
        is_set(get("named.problem")),
        (get("named.problem.type"), get("named.problem.message"), ("flags.deepspeed",)),
        "XTuner looks for a file first, then among the five that it brings.",
        ev(
            "xtuner",
            TRAIN,
            "0",
            'raise FileNotFoundError(f"Cannot find {args.deepspeed}")',
            "huggingface/deepspeed-gone",
        ),
        {"named.problem": {"type": "FileNotFoundError", "message": "Cannot find x"}},
        {"flags.deepspeed": "ds.json"},
        hint="Give a path, or deepspeed_zero1, _zero2, _zero2_offload, _zero3 or _zero3_offload.",
    ),
)
