"""Merge what `tools/harvest.py` found into the tables that dsbridge reads, and take them apart again.

    python -m tools.merge_versions FOLDER

FOLDER has one `<version>.json` a release. It is merged with what the tables say of the other releases, so
that a new one needs its own harvest alone; `--fresh` forgets them. Written are
`dsbridge/deepspeed/fields.json` (the fields of DeepSpeed's classes, what may be named in a config, removed
keys) and `read_keys.json` (the keys that are read one by one). Every row says in which releases it is so.
Nothing is lost in it: `split` gives back each release's harvest.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
FIELDS = ROOT / "dsbridge" / "deepspeed" / "fields.json"
READ = FIELDS.with_name("read_keys.json")
STAMP = "tools/merge_versions.py from what tools/harvest.py found in each release"
SIGNATURES = ("optimizer_classes", "torch_optimizers", "scheduler_classes", "torch_schedulers")
REMOVED = ("top_level", "zero_optimization")

Harvests = dict[str, dict[str, Any]]


def by_version(found: dict[str, Any]) -> dict[str, Any]:
    """Oldest version first."""
    return {name: found[name] for name in sorted(found, key=lambda text: [int(n) for n in text.split(".")])}


def ranges(rows: dict[str, Any], versions: list[str]) -> list[dict[str, Any]]:
    """One row for each run of versions in which it is the same.

    No `since`: from the first version on; no `until`: to the last.
    """
    found: list[dict[str, Any]] = []
    last: Any = None
    for version in versions:
        row = rows.get(version)
        if row is not None and row == last:
            found[-1]["until"] = version
        elif row is not None:
            found.append({**row, "since": version, "until": version})
        last = row
    for row in found:
        if row["since"] == versions[0]:
            del row["since"]
        if row["until"] == versions[-1]:
            del row["until"]
    return found


def at(rows: list[dict[str, Any]], version: str, versions: list[str]) -> list[dict[str, Any]]:
    """The rows that hold in one version, without their range."""
    now = versions.index(version)
    return [
        {key: value for key, value in row.items() if key not in ("since", "until")}
        for row in rows
        if versions.index(row.get("since", versions[0])) <= now
        and now <= versions.index(row.get("until", versions[-1]))
    ]


def merged_fields(found: Harvests) -> dict[str, Any]:
    """Blocks with their fields, and what may be named in them, each with its versions."""
    versions = list(found)
    return {
        "generator": STAMP,
        "versions": versions,
        "blocks": {
            name: _block({v: h["blocks"][name] for v, h in found.items() if name in h["blocks"]}, versions)
            for name in _names(found, "blocks")
        },
        "top_level": _fields({v: h["top_level"] for v, h in found.items()}, versions),
        "removed": {
            place: _texts({v: h["removed"][place] for v, h in found.items()}, versions) for place in REMOVED
        },
        "optimizers": _texts({v: dict.fromkeys(h["optimizers"], "") for v, h in found.items()}, versions),
        **{
            kind: {
                name: ranges({v: h[kind][name] for v, h in found.items() if name in h[kind]}, versions)
                for name in _names(found, kind)
            }
            for kind in SIGNATURES
        },
    }


def merged_read(found: Harvests) -> dict[str, Any]:
    """Blocks that are read key by key: what becomes of an unknown key, and the keys."""
    versions, blocks = list(found), {}
    for name in sorted(_names(found, "read")):
        here = {v: h["read"][name] for v, h in found.items() if name in h["read"]}
        how = {v: {key: value for key, value in block.items() if key != "keys"} for v, block in here.items()}
        keys = {v: {key: {"name": key, **row} for key, row in b["keys"].items()} for v, b in here.items()}
        blocks[name] = {"read": ranges(how, versions), "keys": _rows(keys, versions, sort=True)}
    return {"generator": STAMP, "versions": versions, "blocks": blocks}


def split(fields: dict[str, Any], read: dict[str, Any]) -> Harvests:
    """Each version's harvest, from the merged tables."""
    return {version: _one(fields, read, version) for version in fields["versions"]}


def _one(fields: dict[str, Any], read: dict[str, Any], version: str) -> dict[str, Any]:
    versions = fields["versions"]

    def now(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return at(rows, version, versions)

    blocks = {
        name: {**how[0], "fields": now(block["fields"])}
        for name, block in fields["blocks"].items()
        if (how := now(block["read"]))
    }
    keyed = {
        name: {**how[0], "keys": {row.pop("name"): row for row in now(block["keys"])}}
        for name, block in read["blocks"].items()
        if (how := now(block["read"]))
    }
    return {
        "package": "deepspeed",
        "version": version,
        "generator": "tools/harvest.py",
        "blocks": blocks,
        "top_level": {"source": "deepspeed/runtime/constants.py", "fields": now(fields["top_level"])},
        "optimizers": [row["name"] for row in now(fields["optimizers"])],
        **{
            kind: {name: rows[0] for name, all_rows in fields[kind].items() if (rows := now(all_rows))}
            for kind in SIGNATURES
        },
        "removed": {p: {row["name"]: row["text"] for row in now(fields["removed"][p])} for p in REMOVED},
        "read": keyed,
    }


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """Where two harvests differ; the order of fields and of names does not count."""
    if isinstance(one, list) and isinstance(other, list) and place.endswith((".fields", ".optimizers")):
        one, other = (
            {str(r["name"] if isinstance(r, dict) else r): r for r in rows} for rows in (one, other)
        )
    if isinstance(one, dict) and isinstance(other, dict):
        names = sorted({*one, *other})
        return [d for n in names for d in differences(one.get(n), other.get(n), f"{place}.{n}")]
    return [] if one == other else [f"{place}: {json.dumps(one)[:200]} against {json.dumps(other)[:200]}"]


def _names(found: Harvests, kind: str) -> dict[str, None]:
    return dict.fromkeys(name for harvest in found.values() for name in harvest[kind])


def _block(found: dict[str, dict[str, Any]], versions: list[str]) -> dict[str, Any]:
    """How the block is read (a model, or key by key), and its fields in their order."""
    names = ("source", "class", "extra", "validators")
    kinds = {v: {name: b[name] for name in names if name in b} for v, b in found.items()}
    return {"read": ranges(kinds, versions), "fields": _fields(found, versions)}


def _fields(found: dict[str, dict[str, Any]], versions: list[str]) -> list[dict[str, Any]]:
    rows = {v: {field["name"]: field for field in b["fields"]} for v, b in found.items()}
    return _rows(rows, versions, sort=False)


def _rows(rows: dict[str, dict[str, Any]], versions: list[str], *, sort: bool) -> list[dict[str, Any]]:
    order = _order([list(rows[v]) for v in reversed(list(rows))])
    return [
        row
        for name in (sorted(order) if sort else order)
        for row in ranges({v: r[name] for v, r in rows.items() if name in r}, versions)
    ]


def _order(lists: list[list[str]]) -> list[str]:
    """The names of all lists; one that only a later list has comes after the one before it there."""
    order: list[str] = []
    for names in lists:
        last = -1
        for name in names:
            if name not in order:
                order.insert(last + 1, name)
            last = order.index(name)
    return order


def _texts(found: dict[str, dict[str, str]], versions: list[str]) -> list[dict[str, Any]]:
    rows = {v: {name: {"name": name, "text": text} for name, text in b.items()} for v, b in found.items()}
    order = dict.fromkeys(name for v in reversed(list(rows)) for name in rows[v])
    return [row for n in order for row in ranges({v: r[n] for v, r in rows.items() if n in r}, versions)]


def tables() -> tuple[dict[str, Any], dict[str, Any]]:
    """The tables as they stand."""
    return json.loads(FIELDS.read_text(encoding="utf-8")), json.loads(READ.read_text(encoding="utf-8"))


def main() -> None:
    """Write both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="one <version>.json a release")
    parser.add_argument("--fresh", action="store_true", help="of these releases alone")
    options = parser.parse_args()
    found = {} if options.fresh else split(*tables())
    found |= {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in options.folder.glob("*.json")
    }
    found = by_version(found)
    for path, table in ((FIELDS, merged_fields(found)), (READ, merged_read(found))):
        path.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
        print(f"{path.name}: {len(found)} releases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
