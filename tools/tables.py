"""Tables of what holds in which versions, as the harvesters write them: merged, and taken apart again.

A row is `{"value": ..., "since": ..., "until": ...}`: `since` included, `until` excluded, "" for no bound.
What is the same from release to release is one row, and `at` gives back what was harvested of each.
"""

from __future__ import annotations

import argparse
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any


def order(version: str) -> tuple[int, ...]:
    """The numbers of a version."""
    return tuple(int(part) for part in version.split("."))


def ranges(rows: Mapping[str, Any], versions: list[str]) -> list[dict[str, Any]]:
    """One row for each run of versions in which it is the same."""
    found: list[dict[str, Any]] = []
    last: Any = None
    for version in versions:
        row = rows.get(version)
        if json.dumps(row) != json.dumps(last):  # 1, 1.0 and True are not the same
            if last is not None:
                found[-1]["until"] = version
            if row is not None:
                found.append({"value": row, "since": version, "until": ""})
        last = row
    if found and found[0]["since"] == versions[0]:
        found[0]["since"] = ""
    return found


def at(rows: list[dict[str, Any]], version: str) -> Any:
    """The value that holds in a version, or None."""
    have = order(version)
    for row in rows:
        since, until = row["since"], row["until"]
        if (not since or order(since) <= have) and (not until or have < order(until)):
            return row["value"]
    return None


def named(found: Mapping[str, Mapping[str, Any]], versions: list[str]) -> dict[str, list[dict[str, Any]]]:
    """For each name that some version has, its rows; `found` has a mapping by name for each version."""
    names = dict.fromkeys(name for version in reversed(versions) for name in found[version])
    return {n: ranges({v: found[v][n] for v in versions if n in found[v]}, versions) for n in names}


def unnamed(table: Mapping[str, list[dict[str, Any]]], version: str) -> dict[str, Any]:
    """What `named` was given for one version, in the table's order."""
    found = {name: at(rows, version) for name, rows in table.items()}
    return {name: row for name, row in found.items() if row is not None}


def to_text(table: Mapping[str, Any]) -> str:
    """JSON with one row a line."""
    blocks = []
    for key, value in table.items():
        if isinstance(value, dict):
            rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in value.items())
            blocks.append(f"{json.dumps(key)}: {{\n{rows}\n}}")
        else:
            blocks.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def read_all(folder: Path) -> dict[str, Any]:
    """What harvesters wrote into a folder, by version."""
    found = (json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json"))
    return {one["version"]: one for one in found}


def run_harvester(
    table: Path,
    harvest: Callable[[], dict[str, Any]],
    add: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]],
    older: Callable[[Path, dict[str, Any]], dict[str, Any]],
) -> None:
    """`harvest` one version, `add` harvests to the table, or ask the wheels of `older` releases."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("harvest", "add", "older"))
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--out", type=Path, default=Path())
    options = parser.parse_args()
    if options.what == "harvest":
        found = harvest()
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / f"{found['version']}.json").write_text(to_text(found), encoding="utf-8")
        return
    have = json.loads(table.read_text(encoding="utf-8")) if table.is_file() else {"versions": [], "older": {}}
    if options.what == "add":
        have = add(have, read_all(options.folder)) | {"older": have["older"]}
    else:
        have["older"] = older(options.folder, have)
    table.write_text(to_text(have), encoding="utf-8")


def wheels_before(folder: Path, package: str, first: str) -> Iterator[tuple[zipfile.ZipFile, str]]:
    """The wheels of releases older than the first, each with the release that follows it."""
    wheels = {path.name.split("-")[1]: path for path in folder.glob(f"{package}-*.whl")}
    versions = [version for version in sorted(wheels, key=order) if order(version) < order(first)]
    for version, following in zip(versions, [*versions[1:], first], strict=True):
        yield zipfile.ZipFile(wheels[version]), following


def fate(run: Callable[[Any], object], known: Any, unknown: Any) -> str:
    """What happens to a name that nobody has: "refused" or "ignored". The same with a known one must work.

    Raises:
        RuntimeError: it does not.
    """
    try:
        run(known)
    except (Exception, SystemExit) as error:
        raise RuntimeError(f"without the unknown name it fails as well: {error!r}") from error
    try:
        run(unknown)
    except (Exception, SystemExit):  # argparse exits
        return "refused"
    return "ignored"
