"""Checkpoints without their tensors: names, pickles and small texts, of which the fast tests make folders
again.

A stripped .pt is a zip with the true data.pkl alone; any other file is there by name, small texts with
what they say. All checkpoints of an environment are one archive.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

TEXTS = ("latest", "latest_universal", "last_checkpoint")


def content(path: Path, root: str = "") -> bytes:
    """What is kept of a file. root: a folder whose name is overwritten; mmengine writes where it saved."""
    if path.name in TEXTS or path.name.endswith(".json"):
        return path.read_bytes()
    if (
        "zero" in path.parent.parts[-2:]
        or not zipfile.is_zipfile(path)
        or not path.name.endswith("_states.pt")
    ):
        return b""
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in archive.namelist() if n.endswith("/data.pkl"))
        data = archive.read(name)
    if root:
        data = data.replace(root.encode(), ("/run" + "_" * len(root))[: len(root)].encode())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as made:
        made.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def pack(folders: dict[str, Path], target: Path, root: str = "") -> None:
    """Folders by name into one archive. root: as `content` takes it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(target, "w:xz", preset=9) as archive:
        for name, folder in sorted(folders.items()):
            for path in sorted(p for p in folder.rglob("*") if not p.is_symlink()):
                if path.is_file() and path.parents[1].name == "zero":
                    continue  # of a universal checkpoint the parameters' names are enough
                info = tarfile.TarInfo(f"{name}/{path.relative_to(folder)}")
                if path.is_dir():
                    info.type = tarfile.DIRTYPE
                    info.mode = 0o755
                    archive.addfile(info)
                    continue
                data = content(path, root)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
