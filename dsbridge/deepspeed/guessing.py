"""What was meant by a key that a block does not have."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from dsbridge.closeness import closest, same, word_by_word
from dsbridge.deepspeed.known import ANY, Block, known_keys, releases_with
from dsbridge.rules import numbers

# Names by which other tools, and the guides about them, call what DeepSpeed calls otherwise.
ALIASES: Mapping[str, str] = {
    "tp_size": "tensor_parallel.autotp_size",
    "tensor_parallel_size": "tensor_parallel.autotp_size",
    "tensor_model_parallel_size": "tensor_parallel.autotp_size",
    "max_grad_norm": "gradient_clipping",
    "clip_grad_norm": "gradient_clipping",
    "per_device_train_batch_size": "train_micro_batch_size_per_gpu",
    "micro_batch_size": "train_micro_batch_size_per_gpu",
    "global_batch_size": "train_batch_size",
    "learning_rate": "optimizer.params.lr",
    "zero_stage": "zero_optimization.stage",
    "logging_steps": "steps_per_print",
    "gradient_accumulation": "gradient_accumulation_steps",
}
CLOSE, CLOSE_SHORT = 0.85, 0.8
LONG = 8  # a name of so many letters is known by its beginning
# A name that so many blocks have says nothing about its place: `enabled`.
COMMON = 4


@lru_cache(maxsize=4096)
def guess(name: str, path: str, version: str) -> tuple[str, str]:
    """The kind of mistake, and the dotted key to write instead; "" if nobody knows. path: the block's."""
    block = known_keys(version)[path]
    if as_written := same(name, block.keys):
        return "misspelt", _dotted(block, as_written)
    elsewhere = ALIASES.get(name, "")
    if elsewhere and _known(elsewhere, version):
        return "misplaced", elsewhere
    if _gone(name, block, version):
        return "removed", ""
    places = [place for place in _places(name, block, version) if not _for_fp16(place, block)]
    if places:
        return "misplaced", places[0]
    cutoff = CLOSE if len(name) >= LONG else CLOSE_SHORT
    close = closest(name, (key for key in block.keys if word_by_word(name, key)), cutoff)
    if close:
        return "misspelt", _dotted(block, close)
    begun = [key for key in block.keys if _begins(key, name) or _begins(name, key)]
    return ("misspelt", _dotted(block, begun[0])) if len(begun) == 1 else ("unknown", "")


def _for_fp16(place: str, block: Block) -> bool:
    """A loss scale in bf16 was copied from fp16 with its block; moving it back would scale nothing."""
    return block.path == "bf16" and place.startswith("fp16.")


def _begins(short: str, long: str) -> bool:
    """`load_universal` for `load_universal_checkpoint`."""
    return len(short) >= LONG and long.startswith(f"{short}_")


def _dotted(block: Block, name: str) -> str:
    return f"{block.path}.{name}" if block.path else name


def _known(dotted: str, version: str) -> bool:
    path, _, name = dotted.rpartition(".")
    block = known_keys(version).get(path)
    return block is not None and name in block.keys


def _gone(name: str, block: Block, version: str) -> bool:
    """Older releases have the key here, this one has it no more."""
    with_it = releases_with(block.path, name)
    return bool(with_it) and numbers(with_it[-1]) < numbers(version)


def _places(name: str, block: Block, version: str) -> list[str]:
    """Where else the release has the name: what is nearest first."""
    found = [
        other
        for path, other in known_keys(version).items()
        if name in other.keys and path != block.path and ANY not in path
    ]
    if len(found) > COMMON:
        return []
    return [_dotted(other, name) for other in sorted(found, key=lambda other: _distance(block, other))]


def _distance(block: Block, other: Block) -> tuple[int, int, str]:
    """Steps up and down the tree; then the shallower one."""
    one, two = (path.split(".") if path else [] for path in (block.path, other.path))
    shared = 0
    while shared < min(len(one), len(two)) and one[shared] == two[shared]:
        shared += 1
    return len(one) + len(two) - 2 * shared, len(two), other.path
