"""Whole set-ups with Accelerate: several factors at once, now and then a mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conformance.oracle.case import Case
from conformance.oracle.cases._accelerate_ds import DUMMY as DUMMY_FIELDS
from conformance.oracle.cases._accelerate_ds import FIELDS
from conformance.oracle.cases._accelerate_files import (
    AUTO,
    GONE,
    LAUNCH,
    NUMBERS,
    OPTIMIZER,
    SCHEDULER,
    accelerate_yaml,
    case,
    changed,
    script,
    text_of,
)
from conformance.oracle.cases._accelerate_scripts import (
    BESIDE,
    LOADERS,
    MODELS,
    OPTIMIZERS,
    PLUGIN,
)
from conformance.oracle.cases._accelerate_yaml import FLAGS, PLAIN, SETTINGS, TOP

if TYPE_CHECKING:
    from hypothesis import strategies as st

FACTORS: dict[str, list[Any]] = {
    "regime": ["yaml", "yaml-file", "plugin", "plugin-file", "plugin-dict"],
    "stage": [0, 1, 2, 3, "auto"],
    "precision": ["bf16", "fp16", "no", None],
    "offload": ["none", "cpu", "cpu-param"],
    "optimizer": ["torch", "sgd", "dummy", "none"],
    "scheduler": ["none", "lambda", "dummy"],
    "steps": [None, 1, 4, "auto"],
    "clip": [None, 0.0, 0.5, "auto"],
    "world": [1, 2, 4],
    "loaders": ["one", "two", "null-size"],
}
_OPTIMIZERS = {"torch": "imported", "sgd": "sgd", "dummy": "dummy", "none": "none"}


def _layout(row: dict[str, Any]) -> dict[str, Any]:
    """The script's part of a row."""
    layout = dict(OPTIMIZERS[_OPTIMIZERS[row["optimizer"]]])
    if row["scheduler"] != "none" and row["optimizer"] != "none":
        extra = OPTIMIZERS["lambda" if row["scheduler"] == "lambda" else "dummy-both"]
        if not (row["scheduler"] == "lambda" and row["optimizer"] == "dummy"):
            layout["scheduler"] = extra["scheduler"]
            layout["imports"] = layout.get("imports", "") + extra.get("imports", "")
    if row["loaders"] != "one":
        loader = LOADERS[row["loaders"]]
        layout["loader"] = loader["loader"]
        names = ["model", "optimizer", "loader", "scheduler"]
        if row["loaders"] == "two":
            names.insert(3, "evaluation")
        kept = {"optimizer": layout.get("optimizer", "x"), "scheduler": layout.get("scheduler", "")}
        layout["prepare"] = ", ".join(name for name in names if kept.get(name, "x"))
    return layout


def _settings(row: dict[str, Any]) -> dict[str, Any]:
    """The row as fields of deepspeed_config or DeepSpeedPlugin."""
    found: dict[str, Any] = {} if row["stage"] == "auto" else {"zero_stage": row["stage"]}
    if row["steps"] not in (None, "auto"):
        found["gradient_accumulation_steps"] = row["steps"]
    if row["clip"] is not None:
        found["gradient_clipping"] = row["clip"]
    if row["offload"] != "none":
        found["offload_optimizer_device"] = "cpu"
    if row["offload"] == "cpu-param":
        found["offload_param_device"] = "cpu"
    return found


def _config(row: dict[str, Any]) -> dict[str, Any]:
    """The row as a ds_config."""
    given: dict[str, Any] = {
        "zero_optimization.stage": row["stage"],
        "gradient_accumulation_steps": GONE if row["steps"] is None else row["steps"],
        "gradient_clipping": GONE if row["clip"] is None else row["clip"],
    }
    if row["offload"] != "none":
        given["zero_optimization.offload_optimizer"] = {"device": "cpu", "pin_memory": True}
    if row["offload"] == "cpu-param":
        given["zero_optimization.offload_param"] = {"device": "cpu", "pin_memory": True}
    if row["optimizer"] in ("dummy", "none"):
        given["optimizer"] = OPTIMIZER if row["optimizer"] == "dummy" else {"type": "AdamW", "params": {}}
    if row["scheduler"] == "dummy":
        given["scheduler"] = SCHEDULER
    if row["loaders"] == "null-size":
        given["train_micro_batch_size_per_gpu"] = 4
    return changed(AUTO, given)


def paired(number: int, row: dict[str, Any]) -> Case:
    """One row of the covering array as a case."""
    return _launched(f"pair/{number:03d}", row["regime"], _settings(row), _config(row), _layout(row), row)


def _launched(
    name: str,
    regime: str,
    settings: dict[str, Any],
    config: Any,
    layout: dict[str, Any],
    row: dict[str, Any],
) -> Case:
    world, precision = row["world"], row["precision"]
    files: dict[str, str] = {}
    words: list[str] = []
    accelerator = {} if precision is None else {"mixed_precision": precision}
    if regime.startswith("yaml"):
        words = [*LAUNCH, "--config_file", "acc.yaml", *row.get("flags", ()), "train.py"]
        top = {"mixed_precision": GONE if precision is None else precision, "num_processes": world}
        if regime == "yaml-file":
            settings = {"deepspeed_config_file": "ds.json", "zero3_init_flag": False}
            files["ds.json"] = text_of(config)
            top["mixed_precision"] = GONE
            if precision is not None and not row.get("flags"):
                words[2:2] = ["--mixed_precision", precision]
        files["acc.yaml"] = accelerate_yaml(settings, **{**top, **row.get("top", {})})
        files["train.py"] = script(accelerator=row.get("accelerator", {}), **layout)
        return case(name, files, words, world_size=world, gpu=row.get("gpu", {}))
    plugin = dict(settings)
    if regime == "plugin-file":
        plugin = {"hf_ds_config": "ds.json", **row.get("beside", {})}
        files["ds.json"] = text_of(config)
    elif regime == "plugin-dict" and isinstance(config, dict):
        plugin = {"hf_ds_config": config, **row.get("beside", {})}
    given = {**accelerator, **row.get("accelerator", {})}
    files["train.py"] = script(plugin=plugin, accelerator=given, **layout)
    return case(name, files, (), world_size=world, gpu=row.get("gpu", {}))


def setups() -> st.SearchStrategy[Case]:
    """A regime, a base, some settings, and up to two mistakes; the id is given by whoever asks."""
    from hypothesis import strategies as st

    @st.composite
    def draw_setup(draw: st.DrawFn) -> Case:
        def pick(options: Any) -> Any:
            return draw(st.sampled_from(list(options)))

        regime = pick(FACTORS["regime"])
        row: dict[str, Any] = {
            "world": pick([1, 2, 2, 4, 8]),
            "precision": pick(["bf16", "bf16", "fp16", "no", None]),
            "gpu": {"bf16": pick([True, True, True, False]), "fp16": True},
        }
        layout = _drawn_layout(pick, filed=regime.endswith(("file", "dict")))
        config = pick([AUTO, AUTO, NUMBERS])
        if "DummyOptim" in layout.get("optimizer", "") or pick(range(10)) == 0:
            blocks = "both" if "DummyScheduler" in layout.get("scheduler", "") else "optimizer"
            config = changed(config, DUMMY_FIELDS[pick([*DUMMY_FIELDS, *[blocks] * 16])])
        for name in draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=2)):
            config = changed(config, FIELDS[name]) if _fits(config, FIELDS[name]) else config
        settings: dict[str, Any] = {}
        if regime == "yaml":
            settings = {**PLAIN, "zero_stage": pick([1, 2, 2, 3])}
            for name in draw(st.lists(st.sampled_from(sorted(SETTINGS)), max_size=2)):
                settings = changed(settings, SETTINGS[name])
        elif regime == "plugin":
            settings = {**PLUGIN[pick(PLUGIN)], **PLUGIN[pick(PLUGIN)]}
        if regime.startswith("yaml") and pick(range(4)) == 0:
            name = pick(sorted(set(FLAGS) - {"processes"}))
            row["flags"] = FLAGS[name]
        if regime.startswith("yaml") and pick(range(5)) == 0:
            row["top"] = {k: v for k, v in TOP[pick(sorted(TOP))].items() if k != "num_processes"}
        if regime in ("plugin-file", "plugin-dict") and pick(range(3)) == 0:
            row["beside"] = BESIDE[pick(BESIDE)]
        if pick(range(3)) == 0:
            row["accelerator"] = pick(
                [{"gradient_accumulation_steps": 2}, {"split_batches": True}, {"mixed_precision": "fp16"}]
            )
        return _with_facts(_launched("setup", regime, settings, config, layout, row), layout)

    return draw_setup()


def _with_facts(found: Case, layout: dict[str, Any]) -> Case:
    """What no file says: which packages are installed, and the classes of the model's layers."""
    text = "".join(found["files"].values())
    facts: dict[str, Any] = {"msamp_available": False} if "enable_msamp" in text else {}
    if "moe" in text:
        plain = "torch.nn.Module" in layout.get("model", "") or "nn.Linear" in layout.get("model", "")
        facts["moe_layers_found"] = "Qwen2DecoderLayer" in text and not plain
    if "fp8" in text:
        facts["fp8_available"] = False
    return {**found, "facts": facts}


def _drawn_layout(pick: Any, *, filed: bool) -> dict[str, Any]:
    """A model, an optimizer, a scheduler and loaders that go into one script."""
    usual = ["dummy-both", "dummy-positional", "lambda", "imported"] if filed else ["imported", "lambda"]
    name = pick([*sorted(OPTIMIZERS), *usual * 16])
    layout = dict(OPTIMIZERS[name])
    model = MODELS[pick(sorted(MODELS))] if pick(range(4)) == 0 else {}
    layout = {**model, **layout, "imports": model.get("imports", "") + layout.get("imports", "")}
    loaders = pick([*["one"] * 9, *["two"] * 4, *sorted(LOADERS)])
    if loaders != "one" and "prepare" not in layout and loaders not in ("in-main", "loader-alone"):
        loader = LOADERS[loaders]
        layout["loader"] = loader.get("loader", script.__kwdefaults__["loader"])
        layout["imports"] += loader.get("imports", "")
        names = [n for n in ("optimizer", "scheduler") if layout.get(n, "x" if n == "optimizer" else "")]
        if loaders == "two":
            names += ["evaluation"]
        if loaders not in ("none-prepared", "loader-first"):
            names += ["loader"]
        layout["prepare"] = ", ".join(["model", *names])
    return layout


def _fits(config: dict[str, Any], changes: dict[str, Any]) -> bool:
    """The blocks that the changes go into are there."""
    for dotted in changes:
        node: Any = config
        for name in dotted.split(".")[:-1]:
            node = node.get(name, {}) if isinstance(node, dict) else None
        if not isinstance(node, dict):
            return False
    return True
