"""What a script gives to accelerator.prepare(): model, optimizer, scheduler, DataLoaders."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from dsbridge.rulebook import Attribute, CallSite, Files, Name, Script, Unread, unread
from dsbridge.sdk import InputError

if TYPE_CHECKING:
    from dsbridge_accelerate.scripts import Values

LOADERS = ("DataLoader", "StatefulDataLoader")
WRAPPERS = ("get_peft_model", "prepare_model_for_kbit_training", "compile", "PeftModel")
_LOADED = ("from_pretrained", "from_config", "_from_config")
_OPTIMIZERS = frozenset(
    ("Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "ASGD", "LBFGS", "NAdam", "RAdam", "RMSprop", "Rprop",
     "SGD", "SparseAdam", "Adafactor", "Muon")
)  # fmt: skip
_DEEPSPEED_SCHEDULERS = ("LRRangeTest", "OneCycle", "WarmupLR", "WarmupDecayLR", "WarmupCosineLR")
# DummyScheduler's and torch optimizers' own defaults
_RATES = {"AdamW": 0.001, "Adam": 0.001, "SGD": 0.001, "Adagrad": 0.01, "RMSprop": 0.01}

# transformers' attribute_map: models whose config.json calls the hidden size something else
_OTHER_NAMES = {
    "n_embd": ("gpt2", "gptj", "codegen", "gpt_bigcode", "openai-gpt"),
    "d_model": ("t5", "mt5", "umt5", "bart", "mbart", "pegasus", "whisper", "mpt"),
}


def named_class(function: str) -> str:
    """`torch.AdamW` of `torch.optim.AdamW`: the top package and the class."""
    return f"{function.partition('.')[0]}.{function.rpartition('.')[2]}"


def is_scheduler(call: CallSite) -> bool:
    """A learning-rate scheduler by the name of its class or maker."""
    name = call.short
    made = name.startswith("get_") and ("schedule" in name)
    return made or "lr_scheduler" in call.function or name.endswith(("LR", "Scheduler")) or (
        name in _DEEPSPEED_SCHEDULERS
    )  # fmt: skip


def is_optimizer(call: CallSite) -> bool:
    """An optimizer by its package or class."""
    if call.short == "DummyOptim":
        return True
    inside = ("torch.optim.", "bitsandbytes.optim.", "deepspeed.ops.")
    known = call.short in _OPTIMIZERS or call.function.startswith(inside)
    return known and not is_scheduler(call)


class Objects:
    """The objects of one script, as the rules know them."""

    def __init__(self, files: Files, text: str, values: Values) -> None:
        self.files, self.values = files, values
        self.assigned = _assigned(ast.parse(text))
        self.classes = {
            node.name: [ast.unparse(base) for base in node.bases]
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.ClassDef)
        }
        self.resized = (
            "hidden_size =" in text.replace("hidden_size=", "hidden_size =").replace("(hidden_size =", "(")
            and ".hidden_size =" in text
        )

    def trees(self, script: Script, accelerator: CallSite) -> dict[str, Any]:
        """`prepared` and `model` of the prepare() call that has the model; else of the first."""
        calls = [
            call
            for call in script.named("prepare")
            if isinstance(call.owner, CallSite) and call.owner.short == "Accelerator"
        ]
        found = [self.prepared(call, accelerator) for call in calls]
        best = next((item for item in found if "model" in item["prepared"]), found[0] if found else None)
        return best or {}

    def prepared(self, call: CallSite, accelerator: CallSite) -> dict[str, Any]:
        """The trees of one prepare() call."""
        parts: dict[str, Any] = {"loaders": []}
        trees: dict[str, Any] = {"prepared": parts}
        for value in call.args:
            if isinstance(value, CallSite) and value.short in LOADERS:
                self.loader(value, parts["loaders"])
            elif isinstance(value, Unread) and "DataLoader" in value.code:
                parts["loaders"].append({"batch_size": self.unread_size(parts["loaders"])})
            elif isinstance(value, CallSite) and value.short == "DummyScheduler":
                parts["scheduler"] = self.dummy_scheduler(value)
            elif isinstance(value, CallSite) and is_optimizer(value):
                parts["optimizer"] = self.optimizer(value)
            elif isinstance(value, CallSite) and is_scheduler(value):
                parts["scheduler"] = self.scheduler(value)
            elif "model" not in parts:
                parts["model"], trees["model"] = self.model(value, accelerator)
                if trees["model"].get("unsized"):
                    parts["model"]["sized"] = unread("prepared.model.sized")
            elif isinstance(value, Unread) and "optim" in value.code.lower():
                parts["optimizer"] = unread("prepared.optimizer")
        if call.more:
            parts["loaders"] = unread("prepared.loaders")
        return trees

    def unread_size(self, loaders: list[Any]) -> Any:
        return unread(f"prepared.loaders.{len(loaders)}.batch_size")

    def loader(self, call: CallSite, loaders: list[Any]) -> None:
        """A DataLoader's batch size; its default is 1, and with a batch_sampler there is none."""
        path = f"prepared.loaders.{len(loaders)}.batch_size"
        size: Any = 1
        if call.argument("batch_sampler", 4) is not None:
            size = None
        elif "batch_size" in call.keywords or len(call.args) > 1:
            size = self.values.take(call, "batch_size", path, 1)
        elif call.more:
            size = unread(path)
        unbatched = size is None and call.argument("batch_sampler", 4) is None
        loaders.append({"batch_size": size, **({"unbatched": True} if unbatched else {})})

    def rate(self, call: Any) -> Any:
        """The learning rate of an optimizer."""
        if not isinstance(call, CallSite):
            return unread("prepared.scheduler.lr")
        rate = self.values.take(call, "lr", "prepared.optimizer.lr", 1)
        return _RATES.get(call.short, 0.001) if rate is None else rate

    def optimizer(self, call: CallSite) -> dict[str, Any]:
        """DummyOptim with its numbers, or a real one by its class."""
        if call.short != "DummyOptim":
            known = "." in call.function
            return {"class": named_class(call.function) if known else unread("prepared.optimizer.class")}
        found = {"dummy": True, "lr": self.rate(call)}
        decay = self.values.take(call, "weight_decay", "prepared.optimizer.weight_decay", 2)
        return {**found, "weight_decay": 0 if decay is None else decay}

    def scheduler(self, call: CallSite) -> dict[str, Any]:
        """A real scheduler by its class; transformers' makers give a LambdaLR."""
        name = "LambdaLR" if call.short.startswith("get_") else call.short
        top = "deepspeed" if name in _DEEPSPEED_SCHEDULERS else "torch"
        return {"class": f"{top}.{name}", "name": name}

    def dummy_scheduler(self, call: CallSite) -> dict[str, Any]:
        """DummyScheduler(optimizer, total_num_steps, warmup_num_steps, lr_scheduler_callable)."""
        path = "prepared.scheduler"
        found: dict[str, Any] = {"dummy": True, "lr": self.rate(call.argument("optimizer", 0))}
        for position, name in ((1, "total_num_steps"), (2, "warmup_num_steps")):
            value = self.values.take(call, name, f"{path}.{name}", position)
            if value is not None:
                found[name] = value
        function = call.argument("lr_scheduler_callable", 3)
        if function is not None:
            found |= {"callable": True, **self.made(function)}
        return found

    def made(self, function: Any) -> dict[str, Any]:
        """What the callable makes, where its body shows it."""
        name = function.name if isinstance(function, Name) else ""
        for node in ast.walk(self.values_tree()):
            if isinstance(node, ast.FunctionDef) and node.name == name:
                for inner in ast.walk(node):
                    if isinstance(inner, ast.Return) and isinstance(inner.value, ast.Call):
                        return _class_made(ast.unparse(inner.value.func))
        return {}

    def values_tree(self) -> ast.AST:
        return ast.parse(self.files.text(self.values.script.file))

    def model(self, value: Any, accelerator: CallSite) -> tuple[Any, Any]:
        """(prepared.model, the model's config)."""
        while isinstance(value, CallSite) and value.short in WRAPPERS and (value.args or value.keywords):
            value = value.argument("model", 0)
        nothing: dict[str, Any] = {}  # the rules then ask for the fact hidden_size
        if not isinstance(value, CallSite):
            return {"config": True, "sharded": unread("prepared.model.sharded")}, nothing
        if value.short in _LOADED:
            found: dict[str, Any] = {"config": True, "sharded": value.number > accelerator.number}
            attention = self.values.take(value, "attn_implementation", "prepared.model.attention")
            if attention is not None:
                found["attention"] = attention
            return found, self.config(value.argument("pretrained_model_name_or_path", 0))
        if value.function.startswith("torch.nn.") or self.is_module(value.short):
            return {"config": False, "sharded": False}, {}
        return {"config": True, "sharded": False}, self.config(value.argument("config", 0))

    def is_module(self, name: str) -> bool:
        """A class of the script's own that is a bare torch module."""
        return any(base.rpartition(".")[2] == "Module" for base in self.classes.get(name, ()))

    def config(self, value: Any) -> dict[str, Any]:
        """The model's config: config.json of a folder, or a config class's own arguments."""
        if self.resized:
            return {"hidden_size": unread("model.hidden_size")}
        if isinstance(value, CallSite) and value.short == "from_pretrained":
            value = value.argument("pretrained_model_name_or_path", 0)
        elif isinstance(value, CallSite):
            given = self.values.take(value, "hidden_size", "model.hidden_size")
            return {} if given is None else {"hidden_size": given}
        if isinstance(value, Attribute):
            value = self.values.plain(value, "model")
        path = f"{value}/config.json" if isinstance(value, str) else ""
        if not path or not self.files.has(path):
            return {}
        try:
            found = self.files.json(path).value
        except InputError:
            return {}
        return _sized(found) if isinstance(found, dict) else {}


def _sized(config: dict[str, Any]) -> dict[str, Any]:
    """The config with its hidden size under transformers' common name."""
    if "hidden_size" in config or "hidden_sizes" in config:
        return config
    other = next((key for key, kinds in _OTHER_NAMES.items() if config.get("model_type") in kinds), None)
    if other in config:
        return {**config, "hidden_size": config[other]}
    return {**config, "unsized": True}


def _assigned(tree: ast.Module) -> dict[str, Any]:
    """`....deepspeed_plugin.deepspeed_config["a"]["b"] = 1` as {"a.b": 1}, as errors of Accelerate advise."""
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign):
            continue
        for key in filter(None, map(_config_key, node.targets)):
            try:
                found[key] = ast.literal_eval(node.value)
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                found[key] = unread(f"ds.{key}")
    return found


def _config_key(place: ast.expr) -> str:
    """`a.b` of `x.deepspeed_config["a"]["b"]`; "" of anything else."""
    names: list[str] = []
    while isinstance(place, ast.Subscript) and isinstance(place.slice, ast.Constant):
        name = place.slice.value
        if not isinstance(name, str):
            return ""
        names.insert(0, name)
        place = place.value
    ours = isinstance(place, ast.Attribute) and place.attr == "deepspeed_config"
    return ".".join(names) if ours else ""


def _class_made(function: str) -> dict[str, Any]:
    name = function.rpartition(".")[2]
    if name.startswith("get_"):
        return {"made": "torch.LambdaLR"}
    return {"made": f"torch.{name}"} if name.endswith("LR") else {}
