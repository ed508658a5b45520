"""accelerator.prepare() up to the point where it fills the config."""

from __future__ import annotations

from dsbridge.rulebook import (
    UNSET,
    Loudness,
    OverrideRule,
    all_of,
    any_of,
    choose,
    count,
    differs,
    fact,
    first_set,
    floor_div,
    get,
    greatest,
    here_path,
    is_a,
    is_auto,
    is_set,
    item,
    keys,
    least,
    less,
    mod,
    no,
    one_of,
    pluck,
    prefixed,
    same,
    text,
    trouble,
    truthy,
    type_name,
    without,
)
from dsbridge_accelerate.rules._make import (
    ACCELERATOR,
    COMM_SINCE,
    STATE_SINCE,
    USED,
    ev,
    given,
    refusal,
    since,
    until,
    write,
)

U = {"deepspeed.used": True}
_TP = get("ds.tensor_parallel")
_SIZE = first_set(get("ds.tensor_parallel.autotp_size"), 0)
_LARGER = trouble(">", _SIZE, 1)
WORLD = fact("world_size")
MODEL = is_set(get("prepared.model"))

_WRITTEN = get("assigned.keys")
ASSIGN = (
    write(
        "ACC263",
        "the script writes into the plugin's config",
        "script.assign",
        all_of(USED, is_set(_WRITTEN)),
        prefixed(keys(_WRITTEN), "ds."),
        item(_WRITTEN, here_path()),
        "accelerator.state.deepspeed_plugin.deepspeed_config is the dict that DeepSpeed will get.",
        ev(ACCELERATOR, "2202",
           "\"or assign integer value to `AcceleratorState().deepspeed_plugin.deepspeed_config["
           "'train_micro_batch_size_per_gpu']`.\"", "loader/assigned"),
        {**U, "assigned.keys": {"train_micro_batch_size_per_gpu": 4}},
        U,
    ),
)  # fmt: skip
PARALLEL = (
    refusal(
        "ACC210",
        "MS-AMP is not installed",
        "prepare.parallel",
        all_of(USED, truthy(get("ds.msamp.enabled")), truthy(get("plugin.enable_msamp")),
               no(fact("msamp_available"))),
        ("ModuleNotFoundError", "No module named 'msamp'", ("plugin.enable_msamp",)),
        "enable_msamp imports MS-AMP.",
        ev(ACCELERATOR, "2145-2147", "from msamp import deepspeed as msamp_deepspeed", "plugin/msamp"),
        {**U, "plugin.enable_msamp": True, "ds.msamp.enabled": True, "fact.msamp_available": False},
        {**U, "plugin.enable_msamp": True, "ds.msamp.enabled": True, "fact.msamp_available": True},
        hint="Install MS-AMP, or leave enable_msamp out.",
    ),
    refusal(
        "ACC211",
        "tensor_parallel is no mapping",
        "prepare.parallel",
        all_of(USED, is_set(_TP), no(is_a(_TP, "dict"))),
        ("AttributeError", text("'{}' object has no attribute 'get'", type_name(_TP)),
         ("ds.tensor_parallel",)),
        "Accelerate looks for autotp_size below it.",
        ev(ACCELERATOR, "2154",
           'tp_size = deepspeed_plugin.deepspeed_config.get("tensor_parallel", {}).get("autotp_size", 0)',
           "loader/tensor-parallel-null"),
        {**U, "ds.tensor_parallel": None},
        {**U, "ds.tensor_parallel": {"autotp_size": 2}},
        hint='Write {"autotp_size": N}, or take the block out.',
    ),
    refusal(
        "ACC212",
        "autotp_size is no number",
        "prepare.parallel",
        all_of(USED, is_set(_LARGER)),
        (item(_LARGER, "type"), item(_LARGER, "message"), ("ds.tensor_parallel.autotp_size",)),
        "Accelerate compares it with 1; nobody fills an `auto` there.",
        ev(ACCELERATOR, "2160", "if tp_size > 1:", "ds/tensor-parallel-auto"),
        {**U, "ds.tensor_parallel.autotp_size": "auto"},
        {**U, "ds.tensor_parallel.autotp_size": 2},
        hint="Write the number.",
    ),
    refusal(
        "ACC213",
        "more tensor-parallel ranks than ranks",
        "prepare.parallel",
        all_of(USED, no(is_set(_LARGER)), less(WORLD, _SIZE), less(1, _SIZE)),
        ("RuntimeError", text("Mesh should not be bigger than default world size {}…", WORLD),
         ("ds.tensor_parallel.autotp_size",)),
        "torch builds a mesh of autotp_size ranks.",
        ev(ACCELERATOR, "2172",
           "self.state.ds_device_mesh = init_device_mesh(self.device.type, (tp_size,), "
           "mesh_dim_names=(mesh_dim_name,))", "ds/tensor-parallel-alone"),
        {**U, "ds.tensor_parallel.autotp_size": 2, "fact.world_size": 1},
        {**U, "ds.tensor_parallel.autotp_size": 2, "fact.world_size": 2},
        hint="Lower autotp_size, or start more processes.",
    ),
)  # fmt: skip

_MICRO = get("ds.train_micro_batch_size_per_gpu")
_LOADERS = first_set(get("prepared.loaders"), [])
_SIZES = pluck(_LOADERS, "batch_size")
_AUTO = all_of(USED, is_auto(_MICRO))
_SPLIT = truthy(get("accelerator.split_batches"))
_LEAST = no(same(get("plugin.is_train_batch_min"), False))
_CHOSEN = choose(_LEAST, least(_SIZES), greatest(_SIZES))
COUNT = (
    write(
        "ACC262",
        "after zero.Init DeepSpeed counts the ranks",
        "prepare.parallel",
        same(get("init.alone"), True),
        "init.world_size",
        UNSET,
        "deepspeed.initialize starts DeepSpeed's own communication.",
        ev(
            ACCELERATOR,
            "331",
            "PartialState().distributed_type == DistributedType.DEEPSPEED",
            "ds/as-is",
            "1.6.0",
        ),
        {"init.alone": True, "init.world_size": 1},
        {},
        versions=until(COMM_SINCE),
    ),
)
_UNEVEN = without(_SIZES, [None])
LOADERS = (
    refusal(
        "ACC260",
        "split_batches wants batches that the ranks can share",
        "prepare.parallel",
        all_of(USED, _SPLIT, less(1, WORLD), any_of(*(
            all_of(less(n, count(_UNEVEN)), differs(mod(item(_UNEVEN, n), WORLD), 0)) for n in range(4)))),
        ("ValueError",
         "To use a `DataLoader` in `split_batches` mode, the batch size (…) needs to be a round "
         "multiple of the number of processes (…).", ("prepared.loaders", "accelerator.split_batches")),
        "Every rank takes an equal part of each batch.",
        ev("data_loader.py", "1185", 'f"To use a `DataLoader` in `split_batches` mode, the batch size '
           '({dataloader.batch_size}) "', "loader/split-uneven"),
        {**U, "accelerator.split_batches": True, "prepared.loaders": [{"batch_size": 3}],
         "fact.world_size": 2},
        {**U, "accelerator.split_batches": True, "prepared.loaders": [{"batch_size": 4}],
         "fact.world_size": 2},
        hint="Choose a batch size that the number of ranks divides.",
    ),
    refusal(
        "ACC261",
        "a DataLoader that makes no batches cannot be shared",
        "prepare.parallel",
        all_of(USED, less(1, WORLD), one_of(True, pluck(_LOADERS, "unbatched"))),
        ("ValueError", "You need to use `even_batches=False` when the batch sampler has no batch size…",
         ("prepared.loaders",)),
        "batch_size=None leaves nothing that could be dealt out to the ranks; from 1.14.0 on it is taken.",
        ev("data_loader.py", "163-167",
           '"You need to use `even_batches=False` when the batch sampler has no batch size. If you "',
           "loader/null-size-number", "1.6.0"),
        {**U, "prepared.loaders": [{"batch_size": None, "unbatched": True}], "fact.world_size": 2},
        {**U, "prepared.loaders": [{"batch_size": None}], "fact.world_size": 2},
        versions=until("1.14.0"),
        hint="Give the DataLoader a batch size or a batch_sampler.",
    ),
)  # fmt: skip
MICRO = (
    refusal(
        "ACC214",
        "no DataLoader tells the micro batch",
        "prepare.micro",
        all_of(_AUTO, no(less(0, count(_LOADERS)))),
        ("ValueError",
         "When using DeepSpeed, `accelerate.prepare()` requires you to pass at least one of training or "
         "evaluation dataloaders…", ("ds.train_micro_batch_size_per_gpu", "prepared.loaders")),
        "An `auto` micro batch is the batch size of the DataLoader prepared in the same call as the model.",
        ev(ACCELERATOR, "2197-2203",
           '"When using DeepSpeed, `accelerate.prepare()` requires you to pass at least one of training or '
           'evaluation dataloaders "', "loader/none-prepared"),
        {**U, "ds.train_micro_batch_size_per_gpu": "auto", "prepared.loaders": []},
        {**U, "ds.train_micro_batch_size_per_gpu": 4, "prepared.loaders": []},
        hint="Prepare the DataLoader together with the model, or write the number.",
    ),
    refusal(
        "ACC215",
        "a DataLoader without batch size",
        "prepare.micro",
        all_of(_AUTO, one_of(None, _SIZES)),
        ("ValueError", "At least one of the dataloaders passed to `accelerate.prepare()` has `None` as batch "
         "size. Please set an integer value in `train_micro_batch_size_per_gpu` in the deepspeed config "
         "file…",
         ("ds.train_micro_batch_size_per_gpu", "prepared.loaders")),
        "A DataLoader with a batch_sampler, or with batch_size=None, has no batch size to read.",
        ev(ACCELERATOR, "2182-2187",
           '"At least one of the dataloaders passed to `accelerate.prepare()` has `None` as batch size. "',
           "loader/null-size"),
        {**U, "ds.train_micro_batch_size_per_gpu": "auto", "prepared.loaders": [{"batch_size": None}]},
        {**U, "ds.train_micro_batch_size_per_gpu": "auto", "prepared.loaders": [{"batch_size": 2}]},
        hint="Write train_micro_batch_size_per_gpu in the DeepSpeed config.",
    ),
    write(
        "ACC216",
        "the micro batch is read from the DataLoaders",
        "prepare.micro",
        _AUTO,
        "prepared.micro",
        choose(_SPLIT, floor_div(_CHOSEN, WORLD), _CHOSEN),
        "The smallest batch size of those prepared with the model (is_train_batch_min=False: the largest); "
        "with split_batches divided by the ranks.",
        ev(ACCELERATOR, "2188-2191",
           "batch_size_per_device = min(batch_sizes) if deepspeed_plugin.is_train_batch_min else "
           "max(batch_sizes)", "loader/two"),
        {**U, "ds.train_micro_batch_size_per_gpu": "auto", "prepared.loaders": [{"batch_size": 2}]},
        {**U, "ds.train_micro_batch_size_per_gpu": 4},
    ),
    write(
        "ACC217",
        "the micro batch of the config stands",
        "prepare.micro",
        all_of(USED, no(is_auto(_MICRO)), given("ds.train_micro_batch_size_per_gpu")),
        "prepared.micro",
        _MICRO,
        "A number is taken as it is, and not compared with the DataLoader's batch size.",
        ev(ACCELERATOR, "2205",
           'batch_size_per_device = deepspeed_plugin.get_value("train_micro_batch_size_per_gpu")',
           "ds/micro-number"),
        {**U, "ds.train_micro_batch_size_per_gpu": 4},
        {**U, "ds.train_micro_batch_size_per_gpu": "auto"},
    ),
)  # fmt: skip

STEPS = get("ds.gradient_accumulation_steps")
_OWN = get("accelerator.gradient_accumulation_steps")
ACCUMULATION = (
    write(
        "ACC218",
        '"auto" accumulation is Accelerator\'s',
        "prepare.accumulation",
        all_of(USED, is_auto(STEPS)),
        "ds.gradient_accumulation_steps",
        _OWN,
        "Accelerator(gradient_accumulation_steps=...) counts where neither flag, YAML nor config has a "
        "number.",
        ev(ACCELERATOR, "2207-2212", "gradient_accumulation_steps=self.gradient_accumulation_steps,",
           "accelerator/steps-auto"),
        {**U, "ds.gradient_accumulation_steps": "auto", "accelerator.gradient_accumulation_steps": 4},
        {**U, "ds.gradient_accumulation_steps": 2, "accelerator.gradient_accumulation_steps": 4},
    ),
    *(
        write(
            code,
            "Accelerator's accumulation gives way to the DeepSpeed config",
            "prepare.accumulation",
            all_of(USED, no(is_auto(STEPS)), is_set(get("accelerator.asked_steps")), differs(STEPS, _OWN)),
            "ds.gradient_accumulation_steps",
            None,
            "DeepSpeed's number is used; from 1.8.0 on with a warning, before that silently.",
            ev(ACCELERATOR, lines, quote, "accelerator/steps-numbers", version),
            {**U, "ds.gradient_accumulation_steps": 2, "accelerator.gradient_accumulation_steps": 4,
             "accelerator.asked_steps": 4},
            {**U, "ds.gradient_accumulation_steps": "auto", "accelerator.gradient_accumulation_steps": 4,
             "accelerator.asked_steps": 4},
            asked=get("accelerator.asked_steps"),
            loudness=loud,
            versions=versions,
            hint='Write "gradient_accumulation_steps": "auto" in the DeepSpeed config.',
        )
        for code, loud, versions, version, lines, quote in (
            ("ACC219", Loudness.LOGGED, since(STATE_SINCE), "1.15.0", "2216-2222",
             "if deepspeed_gradient_accumulation_steps != self.gradient_accumulation_steps:"),
            ("ACC220", Loudness.SILENT, until(STATE_SINCE), "1.6.0", "1875",
             "gradient_accumulation_steps=self.gradient_accumulation_steps,"),
        )
    ),
)  # fmt: skip

RULES: tuple[OverrideRule, ...] = (*ASSIGN, *PARALLEL, *LOADERS, *COUNT, *MICRO, *ACCUMULATION)
