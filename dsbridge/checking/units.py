"""From what a command line names to units: files that belong together, folders, and what stands in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dsbridge.checking.guides import guide_units, shell_units
from dsbridge.checking.kinds import is_broken_config, is_lone_config, is_ours
from dsbridge.diagnostics import InputError
from dsbridge.reading import Files
from dsbridge.rules import NOTHING
from dsbridge.subjects.unit import Unit

# what a folder is searched for, and folders that hold nobody's configs
SUFFIXES = (".json", ".hjson", ".yaml", ".yml", ".py", ".sh", ".bash", ".slurm", ".sbatch", ".md")
_SHELL = (".sh", ".bash", ".slurm", ".sbatch")
_GUIDES = (".md", ".markdown", ".txt", ".rst", ".mdx")
_LEFT_OUT = frozenset(("node_modules", "__pycache__", "site-packages", "venv", "build", "dist"))
STDIN = "-"


def units_of(
    files: Files,
    given: Sequence[str],
    command: Sequence[str] = (),
    *,
    target: str = "",
    facts: Mapping[str, Any] = NOTHING,
    versions: Mapping[str, str] = NOTHING,
    each: bool = False,
) -> tuple[list[Unit], list[str]]:
    """The units of the files or of one command, and the names of files that nobody recognises.

    Files belong together if they can be read as one input; each: every file is an input of its own. Of a
    folder, every file is, except those that another one names. A guide (Markdown, plain text) and a shell
    script hold several inputs.

    Raises:
        InputError: a file that was named is absent or cannot be read.
    """
    base = Unit(files, (), (), target, facts, versions)
    if command:
        return [base._replace(command=tuple(command))], []
    units: list[Unit] = []
    skipped: list[str] = []
    matched = {name: found for name in given if (found := _matching(files.folder, name))}
    folders = [name for name in given if files.is_folder(name)]
    plain = [name for name in given if name not in folders and name not in matched]
    texts = [name for name in plain if _is_text(name)]
    together = [name for name in plain if name not in texts]
    for name in texts:
        units += _of_text(base, name)
    if each:
        for name in together:
            _one(base, name, units, skipped)
    elif together:
        units += _of_files(base, tuple(together))
    for folder in folders:
        _several(base, walk(files.folder, folder), units, skipped)
    for names in matched.values():
        _several(base, names, units, skipped)
    return units, skipped


def _is_text(name: str) -> bool:
    return name == STDIN or name.endswith((*_SHELL, *_GUIDES))


def _of_text(base: Unit, name: str) -> list[Unit]:
    text = base.files.text(name)
    if name.endswith(_SHELL):
        return shell_units(base, name, text)
    return guide_units(base, name, text)


def _of_files(base: Unit, given: tuple[str, ...]) -> Iterator[Unit]:
    """Together if they are one input; a DeepSpeed config alone has no framework yet."""
    for name in given:
        base.files.text(name)  # one that is not there is said before anything else
    if len(given) == 1 and not base.target and is_lone_config(base.files, given[0]):
        yield base._replace(given=given, lone=True)
        return
    yield base._replace(given=given)


def _one(base: Unit, name: str, units: list[Unit], skipped: list[str]) -> None:
    """A file by itself, if it is anybody's."""
    try:
        if _is_text(name):
            found = _of_text(base, name)
        elif is_lone_config(base.files, name):
            found = [base._replace(given=(name,), lone=True)]
        else:
            ours = is_ours(base, name) or is_broken_config(base.files, name)
            found = [base._replace(given=(name,))] if ours else []
    except InputError:
        found = []  # of a folder nobody said that all is readable
    units += found
    if not found:
        skipped.append(name)


def _matching(root: Path, pattern: str) -> list[str]:
    """The files of a pattern that no shell has put in their place."""
    if not any(letter in pattern for letter in "*?[") or (root / pattern).exists():
        return []
    here = Path(pattern)
    if here.is_absolute():
        return sorted(map(str, Path(here.anchor).glob(str(here.relative_to(here.anchor)))))
    return sorted(str(path.relative_to(root)) for path in root.glob(pattern) if path.is_file())


def _several(base: Unit, names: Iterable[str], units: list[Unit], skipped: list[str]) -> None:
    """Many files, each by itself; a config that another one names is read with that one."""
    found: list[Unit] = []
    for name in names:
        _one(base, name, found, skipped)
    named = {read for unit in found if not unit.lone for read in named_by(unit)}
    units += [unit for unit in found if not (unit.lone and not unit.guide and unit.given[0] in named)]


def named_by(unit: Unit) -> Iterator[str]:
    """The files of the folder that a unit reads besides its own."""
    from dsbridge.plugins import registry
    from dsbridge.subjects.subject import Subject

    if unit.text_only:
        return
    ds = Subject(unit, registry()).ds
    if ds is not None and ds.file and ds.file not in unit.given:
        yield str(Path(ds.file))


def walk(root: Path, folder: str) -> Iterator[str]:
    """The files below a folder that could be ours, in order; hidden folders and links out are left out."""
    try:
        inside = sorted((root / folder).iterdir())
    except OSError:
        return  # it may not be listed: of a folder nobody said that all is readable
    for path in inside:
        name = str(Path(folder) / path.name)
        if path.name.startswith(".") or path.is_symlink():
            continue
        if path.is_dir():
            if path.name not in _LEFT_OUT:
                yield from walk(root, name)
        elif path.suffix in SUFFIXES:
            yield name
