"""What a source says of its own arguments. The quotes are from transformers 4.51.3 and 5.23.0."""

from __future__ import annotations

import textwrap

from tools.deprecations import deprecations, fields_of

SOURCE = """
@dataclass
class TrainingArguments:
    _VALID: ClassVar[list] = []
    no_cuda: bool = field(default=False, metadata={"help": "This argument is deprecated."})
    use_cpu: bool = field(default=False, metadata={"help": "Whether or not to use cpu."})
    per_gpu_train_batch_size: Optional[int] = field(
        default=None,
        metadata={
            "help": (
                "Deprecated, the use of `--per_device_train_batch_size` is preferred. "
                "Batch size per GPU."
            )
        },
    )
    per_device_train_batch_size: int = field(default=8)
    local_rank: int = field(default=-1, metadata={"help": "When using launch (Deprecated), it will pass it"})
    eval_strategy: str = field(default="no")
    push_to_hub_model_id: Optional[str] = field(default=None)
    push_to_hub_organization: Optional[str] = field(default=None)
    hub_model_id: Optional[str] = field(default=None)
    _n_gpu: int = field(init=False, repr=False, default=-1)
    framework: str = field(init=False)

    def __post_init__(self):
        warnings.warn(
            "using `no_cuda` is deprecated and will be removed in version 5.0 of Transformers. "
            "Use `use_cpu` instead",
            FutureWarning,
        )
        warnings.warn("using `EvaluationStrategy` for `eval_strategy` is deprecated. Use `IntervalStrategy`")
        warnings.warn(
            "`--push_to_hub_model_id` and `--push_to_hub_organization` are deprecated. Use `--hub_model_id` "
            f"instead (in this case {self.hub_model_id}).",
        )
        logger.info("`hub_model_id` is deprecated")
"""
FIELDS = fields_of(SOURCE, "TrainingArguments")


def test_fields_are_what_the_constructor_takes() -> None:
    assert "no_cuda" in FIELDS
    assert not FIELDS.keys() & {"_n_gpu", "_VALID", "framework"}
    assert fields_of(SOURCE, "Other") == {}


def test_what_is_deprecated_and_what_to_use_instead() -> None:
    found = deprecations(SOURCE, FIELDS, FIELDS)
    assert {name: row.get("instead") for name, row in found.items()} == {
        "no_cuda": "use_cpu",
        "per_gpu_train_batch_size": "per_device_train_batch_size",
        "push_to_hub_model_id": "hub_model_id",
        "push_to_hub_organization": "hub_model_id",
    }
    assert found["no_cuda"]["text"].startswith("using `no_cuda` is deprecated")


def test_a_replacement_is_an_argument_or_nothing() -> None:
    source = textwrap.dedent("""
    def __post_init__(self):
        logger.warning("logging_dir is deprecated and will be removed. Please set `TENSORBOARD_LOGGING_DIR`.")
    """)
    (row,) = deprecations(source, {"logging_dir"}, {}).values()
    assert "instead" not in row
    assert "TENSORBOARD_LOGGING_DIR" in row["text"]
