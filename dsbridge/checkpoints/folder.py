"""A checkpoint as it lies in a folder: who wrote it, and where DeepSpeed's part of it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dsbridge.checkpoints.engine import Saved, saved_in
from dsbridge.checkpoints.listing import listed, object_of, small
from dsbridge.rules import NOTHING

_RNG = re.compile(r"rng_state_(\d{1,6})\.pth|random_states_(\d{1,6})\.pkl")
_WEIGHTS = re.compile(r"(model|pytorch_model|adapter_model)[\w.-]*\.(safetensors|bin)(\.index\.json)?")
_STEP = re.compile(r"checkpoint-(\d{1,12})")


class Checkpoint(NamedTuple):
    """What a folder holds.

    kind: deepspeed, trainer, accelerate, mmengine, fsdp, weights, file, or "" for nothing known. folder: what
    load_checkpoint gets; name: as the user said it. tag: of the folder that is loaded, "" where nobody says;
    latest: what the file `latest` (or `latest_universal`) says, None without one; tags: folders that could
    be. saved, universal: the parts. trainer, adapter: the JSON beside it. ranks: random states by rank.
    inside: checkpoints in this folder, newest last.
    """

    name: str
    kind: str
    folder: str
    tag: str = ""
    latest: str | None = None
    latest_universal: str | None = None
    tags: tuple[str, ...] = ()
    saved: Saved | None = None
    universal: Saved | None = None
    trainer: Mapping[str, Any] = NOTHING
    adapter: Mapping[str, Any] = NOTHING
    ranks: frozenset[int] = frozenset()
    weights: tuple[str, ...] = ()
    files: frozenset[str] = frozenset()
    inside: tuple[str, ...] = ()


def read_checkpoint(name: str) -> Checkpoint:
    """What lies at a path: a folder around tags, a folder of one tag, or something else. Never raises."""
    path = Path(name)
    try:
        if path.is_file():
            return Checkpoint(name, "file", name)
        if not path.is_dir():
            return Checkpoint(name, "absent", name)
    except (OSError, ValueError):
        return Checkpoint(name, "absent", name)
    own = saved_in(path)
    if own is not None and not small(path / "latest"):
        return _of_tag(name, path, own)
    return _of_root(name, path)


def _of_tag(name: str, path: Path, own: Saved) -> Checkpoint:
    """The folder of one tag was named: mmengine resumes from it so, others from the folder around."""
    around = path.resolve().parent
    inside = path.name.endswith(".pth")
    if inside or (around / "last_checkpoint").is_file():
        return _placed(
            Checkpoint(name, "mmengine", str(path.parent), path.name, files=_files(around)), around, own
        )
    found = Checkpoint(
        name, "tag", str(path.parent), path.name, small(around / "latest", 4096), files=_files(around)
    )
    return _placed(found, around, own)


def _placed(found: Checkpoint, around: Path, own: Saved) -> Checkpoint:
    if own.universal:
        return found._replace(universal=own)
    beside = saved_in(around / f"{own.tag}_universal")
    return found._replace(saved=own, universal=beside if beside and beside.universal else None)


def _of_root(name: str, path: Path) -> Checkpoint:
    names = _files(path)
    latest, universal = (_tag(path / file) for file in ("latest", "latest_universal"))
    trainer, adapter = object_of(path / "trainer_state.json"), object_of(path / "adapter_config.json")
    tags = tuple(sorted((n for n in names if _is_tag(n) and (path / n).is_dir()), key=_number))
    found = Checkpoint(
        name,
        "",
        name,
        latest=latest,
        latest_universal=universal,
        tags=tags,
        trainer=trainer or NOTHING,
        adapter=adapter or NOTHING,
        ranks=frozenset(int(m[1] or m[2]) for n in names if (m := _RNG.fullmatch(n))),
        weights=tuple(sorted(n for n in names if _WEIGHTS.fullmatch(n))),
        files=names,
        inside=tuple(sorted((n for n in names if _STEP.fullmatch(n)), key=_number)),
    )
    found = found._replace(kind=_kind(found))
    tag = latest or ("pytorch_model" if found.kind == "accelerate" else tags[-1] if tags else "")
    saved = saved_in(path / tag) if tag and safe(tag) else None
    other = universal or (f"{tag}_universal" if tag else "")
    converted = saved_in(path / other) if other and safe(other) else None
    if saved is not None and saved.universal:
        saved, converted = None, saved
    return found._replace(
        tag=tag, saved=saved, universal=converted if converted and converted.universal else None
    )


def _kind(found: Checkpoint) -> str:
    names = found.files
    if found.trainer or "trainer_state.json" in names:
        return "trainer"
    if "last_checkpoint" in names:
        return "mmengine"
    if "pytorch_model" in found.tags:
        return "accelerate"
    if found.latest or found.latest_universal or found.tags:
        return "deepspeed"
    if any(name.startswith(("pytorch_model_fsdp", "optimizer_0", "model_0")) for name in names):
        return "fsdp"
    if found.inside:
        return "runs"
    return "weights" if found.weights or found.adapter else ""


def _files(path: Path) -> frozenset[str]:
    return frozenset(listed(path))


def _tag(path: Path) -> str | None:
    """What a file `latest` says; "" for one that says nothing that can be used."""
    if not path.is_file():
        return None
    return (small(path, 4096) or "").strip()


def safe(tag: str) -> bool:
    """Whether a tag names a folder in this one."""
    return bool(tag) and "\x00" not in tag and not Path(tag).is_absolute() and ".." not in Path(tag).parts


def _is_tag(name: str) -> bool:
    return (
        name.startswith("global_step")
        or name == "pytorch_model"
        or (name.endswith(".pth") and name.startswith(("iter_", "epoch_")))
    )


def _number(name: str) -> tuple[int, str]:
    found = re.findall(r"\d{1,12}", name)
    return (int(found[-1]) if found else -1, name)
