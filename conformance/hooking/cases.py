"""What is run: an example of `examples/hooks/`, its files edited as a user would, and its launch."""

from __future__ import annotations

from typing import Any, NamedTuple

from conformance.cases import PORT

MODEL = ("Qwen/Qwen2.5-0.5B-Instruct", "../model")
CALLBACK = 'VerifyCallback("dsbridge.yaml")'
CLIPS = "max_grad_norm=1.0"
WARN, RECORD = ', on_difference="warn"', ', on_difference="record", record_to="drift.json"'

TORCHRUN = f"exec torchrun --nproc_per_node 2 --master_port {PORT} "
# Two processes that nobody watches: neither is ended because the other one was.
ALONE = f"""export WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT={PORT}
RANK=1 LOCAL_RANK=1 python train.py & other=$!
RANK=0 LOCAL_RANK=0 python train.py && first=0 || first=$?
wait $other && second=0 || second=$?
echo "ranks ended with $first and $second"
exit $((first | second))"""
XTUNER = "config.py --deepspeed ds_config.json"
TOOL = '"$(python -c "import xtuner; print(xtuner.__path__[0])")/tools/train.py" '
ACCELERATE = f"exec accelerate launch --config_file accelerate_config.yaml --main_process_port {PORT} "

Edit = tuple[str, str, str]  # a file, what stands there, and what is written instead


class Case(NamedTuple):
    """trains: both steps are done and the launch ends with 0; else no step is, and it does not.

    hides: the launcher ends with 0 whatever its processes did.
    """

    name: str
    example: str
    launch: str
    edits: tuple[Edit, ...] = ()
    trains: bool = True
    hides: bool = False

    @property
    def own(self) -> tuple[Edit, ...]:
        """What every case of an example needs on this machine: the tiny model, its data, gloo."""
        if self.example == "llamafactory":
            data = ("train.yaml", "dataset: identity", "dataset: identity\ndataset_dir: ../data")
            return (("train.yaml", *MODEL), data)
        if self.example == "xtuner":
            return ("config.py", *MODEL), ("config.py", 'backend="nccl"', 'backend="gloo"')
        script = "train_from_spec.py" if "train_from_spec.py" in self.launch else "train.py"
        return ((script, *MODEL),)


def _clipping(more: str = "") -> tuple[Edit, ...]:
    """The drift: the script clips at 0.3. more: further words of the callback."""
    edits: tuple[Edit, ...] = (("train.py", CLIPS, "max_grad_norm=0.3"),)
    return (*edits, ("train.py", CALLBACK, CALLBACK[:-1] + more + ")")) if more else edits


_ONE_RANK = ("train.py", CLIPS, 'max_grad_norm=0.3 if __import__("os").environ["RANK"] == "1" else 1.0')
_ACCELERATE_CLIPS = ("ds_config.json", '"gradient_clipping": 1.0', '"gradient_clipping": 0.3')

# Then the collector does not tell of the engine.
_FREEZES = """import gc

from transformers import TrainerCallback


class Freeze(TrainerCallback):
    def on_train_begin(self, *_, **__):
        gc.freeze()


"""
# The same by fields of the YAML, which `accelerate launch` alone reads: its child has no word of them.
_YAML_CLIPS = (
    (
        "accelerate_config.yaml",
        "  deepspeed_config_file: ds_config.json\n",
        "  zero_stage: 2\n  gradient_accumulation_steps: 2\n  gradient_clipping: 0.3\n",
    ),
    ("accelerate_config.yaml", "use_cpu: false", "use_cpu: false\nmixed_precision: bf16"),
)

TRAINER = [
    Case("agrees", "trainer", TORCHRUN + "train.py", (("train.py", CALLBACK, CALLBACK[:-1] + RECORD + ")"),)),
    Case("from-spec", "trainer", TORCHRUN + "train_from_spec.py"),
    Case(
        "exact", "trainer", TORCHRUN + "train_from_spec.py",
        (("train_from_spec.py", CALLBACK, CALLBACK[:-1] + ', target="trainer")'),),
    ),
    Case("drift", "trainer", TORCHRUN + "train.py", _clipping(), trains=False),
    Case(
        "drift-in-file", "trainer", TORCHRUN + "train.py",
        (("ds_config.json", '"stage": 2', '"stage": 1'),), trains=False,
    ),
    Case(
        "drift-computed", "trainer", TORCHRUN + "train.py",
        (("train.py", CLIPS, "max_grad_norm=len(TEXTS) / 256"),), trains=False,
    ),
    Case(
        "drift-unasked", "trainer", TORCHRUN + "train_from_spec.py",
        (
            ("train_from_spec.py", CALLBACK, CALLBACK[:-1] + ', target="trainer")'),
            ("train_from_spec.py", 'report_to="none"', 'report_to="none", gradient_accumulation_steps=1'),
        ), trains=False,
    ),
    Case("drift-warn", "trainer", TORCHRUN + "train.py", _clipping(WARN)),
    Case("drift-record", "trainer", TORCHRUN + "train.py", _clipping(RECORD)),
    Case(
        "no-deepspeed", "trainer", TORCHRUN + "train.py",
        (("train.py", '        deepspeed="ds_config.json",\n', "        use_cpu=True,\n"),), trains=False,
    ),
    Case(
        "frozen", "trainer", TORCHRUN + "train.py",
        (
            *_clipping(),
            ("train.py", CALLBACK, f"Freeze(), {CALLBACK}"),
            ("train.py", "def main()", _FREEZES + "def main()"),
        ), trains=False,
    ),
    Case("one-rank", "trainer", TORCHRUN + "train.py", (_ONE_RANK,), trains=False),
    Case("nobody-watches", "trainer", ALONE, (_ONE_RANK,), trains=False),
]  # fmt: skip
SCRIPTS = [
    Case("agrees", "accelerate", ACCELERATE + "train.py"),
    Case("from-spec", "accelerate", TORCHRUN + "train_from_spec.py"),
    Case("drift", "accelerate", ACCELERATE + "train.py", (_ACCELERATE_CLIPS,), trains=False),
    Case("drift-in-yaml", "accelerate", ACCELERATE + "train.py", _YAML_CLIPS, trains=False),
    Case(
        "drift-record", "accelerate", ACCELERATE + "train.py",
        (
            _ACCELERATE_CLIPS,
            ("train.py", 'verify(accelerator, "dsbridge.yaml"',
             'verify(accelerator, "dsbridge.yaml"' + RECORD),
        ),
    ),
]  # fmt: skip

_LF_CLIPS = ("train.yaml", "max_grad_norm: 1.0", "max_grad_norm: 0.3")
_BY_LF = TORCHRUN + "train.py train.yaml"
LLAMAFACTORY = [
    Case(
        "agrees", "llamafactory", _BY_LF, (("train.py", CALLBACK, CALLBACK[:-1] + RECORD + ")"),),
    ),
    Case("drift", "llamafactory", _BY_LF, (_LF_CLIPS,), trains=False),
    Case(
        "drift-warn", "llamafactory", _BY_LF,
        (_LF_CLIPS, ("train.py", CALLBACK, CALLBACK[:-1] + WARN + ")")),
    ),
]  # fmt: skip
_HOOK = 'spec="dsbridge.yaml"'
_XT_CLIPS = ("config.py", "max_norm=1.0", "max_norm=0.3")
_BY_XTUNER = f"export NPROC_PER_NODE=2 PORT={PORT}\nexec xtuner train {XTUNER}"
_BY_TORCHRUN = f"{TORCHRUN}{TOOL}{XTUNER} --launcher pytorch"
_BY_NAME = (
    ("config.py", "from dsbridge.hooks import VerifyHook\n", ""),
    ("config.py", "type=VerifyHook", 'type="dsbridge.hooks.VerifyHook"'),
)
MMENGINE = [
    Case("agrees", "xtuner", _BY_XTUNER, (("config.py", _HOOK, _HOOK + RECORD),)),
    Case("by-name", "xtuner", _BY_XTUNER, _BY_NAME),
    Case("drift", "xtuner", _BY_TORCHRUN, (_XT_CLIPS,), trains=False),
    Case("drift-xtuner-train", "xtuner", _BY_XTUNER, (_XT_CLIPS,), trains=False, hides=True),
    Case("drift-warn", "xtuner", _BY_XTUNER, (_XT_CLIPS, ("config.py", _HOOK, _HOOK + WARN))),
    Case("drift-record", "xtuner", _BY_XTUNER, (_XT_CLIPS, ("config.py", _HOOK, _HOOK + RECORD))),
]

CASES: dict[str, list[Case]] = {
    "hf": [*TRAINER, *SCRIPTS],
    # Accelerate 1.6 cannot accumulate under ZeRO-2 at all: its accumulate() enters DeepSpeed's no_sync, which
    # asserts (0.16.9 runtime/engine.py:2192). What stops before the first step does not get there.
    "hf-old": [*TRAINER, *(case for case in SCRIPTS if not case.trains)],
    "llamafactory": LLAMAFACTORY,
    # the oldest Transformers that is supported, 4.48.0, is there too
    "xtuner": [*MMENGINE, *(case for case in TRAINER if case.name in ("agrees", "drift"))],
}
# What `.ci/run` has time for.
QUICK = ("trainer/agrees", "trainer/nobody-watches", "accelerate/drift")


def chosen(env: str, only: list[str], *, quick: bool = False) -> list[Case]:
    """All cases of an environment, or those asked for as EXAMPLE or EXAMPLE/NAME."""
    found = CASES[env]
    if only:
        found = [case for case in found if case.example in only or f"{case.example}/{case.name}" in only]
    return [case for case in found if f"{case.example}/{case.name}" in QUICK] if quick else found


def described(case: Case) -> dict[str, Any]:
    """For the recording: what makes the case."""
    return {
        "example": case.example,
        "launch": case.launch.splitlines(),
        "edits": [list(e) for e in case.edits],
    }
