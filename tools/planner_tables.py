"""The tables of `docs/explanation/what-deepspeed-holds-and-moves.md`, from the recorded measurements.

python -m tools.planner_tables            # write them
python -m tools.planner_tables --check    # exit code 1 if the page is not what the recordings say
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "explanation" / "what-deepspeed-holds-and-moves.md"
MEASURED = ROOT / "tests" / "recorded" / "planner" / "measured"
ENVIRONMENTS = ("xtuner", "hf-old", "llamafactory", "hf")  # by DeepSpeed's release
SIZE = {"float32": 4, "bfloat16": 2}
MOMENTS = {
    "between steps": "between steps",
    "not boundary": "after backward, not boundary",
    "boundary": "after backward, boundary",
    "in the step": "entering the optimizer's step",
}
STATES = ("parameters", "gathered", "master", "master_gradients", "gradients", "states")
HOST = ("offload_buffers",)


def rows(env: str) -> dict[str, dict[str, Any]]:
    """Case to line."""
    lines = (MEASURED / f"{env}.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["id"]: row for row in map(json.loads, lines)}


def release(table: dict[str, dict[str, Any]]) -> str:
    """The DeepSpeed of an environment."""
    found: str = next(iter(table.values()))["versions"]["deepspeed"]
    return found


def most(value: Any) -> int:
    """The largest of the ranks."""
    return max(int(one) for one in value["ranks"]) if isinstance(value, dict) else int(value)


def weight(seen: dict[str, Any], parts: tuple[str, ...]) -> float:
    """Bytes of these parts on the fullest rank."""
    held = (seen.get(part) or {} for part in parts)
    return sum(SIZE[dtype] * most(elements) for part in held for dtype, elements in part.items())


def parameters(row: dict[str, Any]) -> int:
    """Elements of the model."""
    return sum(n for n, _ in row["seen"]["sizes"])


def line(*cells: object) -> str:
    """A row of a table."""
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def per_release(values: list[str]) -> str:
    """One value where all releases agree."""
    return values[0] if len(set(values)) == 1 else " / ".join(values)


def held(tables: list[dict[str, dict[str, Any]]]) -> Iterator[str]:
    """Bytes per parameter at each moment."""
    yield line("case", *MOMENTS)
    yield line(*["--"] * (len(MOMENTS) + 1))
    for case in tables[-1]:
        if "large" not in case or case.startswith("llama"):
            continue
        cells = []
        for moment in MOMENTS.values():
            found = []
            for table in tables:
                row = table[case]
                seen = row.get("seen", {}).get("held", {}).get(moment)
                parts = STATES + HOST
                found.append("-" if seen is None else f"{weight(seen, parts) / parameters(row):.2f}")
            cells.append(per_release(found))
        yield line(f"`{case}`", *cells)


def moved(row: dict[str, Any]) -> Counter[str]:
    """Elements by kind (and by dtype where it is not the model's) in a step, on rank 0."""
    total: Counter[str] = Counter()
    for calls in row["seen"]["moved"]["steady"].values():
        for kind, dtype, _, elements, times in calls["ranks"][0] if isinstance(calls, dict) else calls:
            if elements > 1:
                total[kind if dtype == "bfloat16" else f"{kind} {dtype}"] += elements * times
    return total


def collectives(tables: list[dict[str, dict[str, Any]]]) -> Iterator[str]:
    """Elements that a rank gives to each collective in an optimizer step."""
    yield line("case", "parameters", *(release(table) for table in tables))
    yield line(*["--"] * (len(tables) + 2))
    for case, newest in tables[-1].items():
        if "seen" not in newest or "fp32-g" in case or "offload" in case or "master" in case:
            continue
        cells = []
        for table in tables:
            row = table.get(case, {})  # bitsandbytes is not in every environment
            told = sorted(moved(row).items()) if "seen" in row else []
            cells.append("<br>".join(f"{kind} {n}" for kind, n in told) or "-")
        shown = cells if len(set(cells)) > 1 else [*["same"] * (len(cells) - 1), cells[-1]]
        yield line(f"`{case}`", parameters(newest), *shown)


def refused(tables: list[dict[str, dict[str, Any]]]) -> Iterator[str]:
    """What did not run, and why."""
    yield line("error", "releases", "cases")
    yield line("--", "--", "--")
    found: dict[str, tuple[list[str], list[str]]] = {}
    for table in tables:
        for case, row in table.items():
            if "error" in row:
                text = f"`{row['error']['type']}: {row['error']['message']}`"
                releases, cases = found.setdefault(text, ([], []))
                releases += [release(table)] if release(table) not in releases else []
                cases += [f"`{case}`"] if f"`{case}`" not in cases else []
    for text, (releases, cases) in found.items():
        yield line(text, ", ".join(releases), ", ".join(cases))


def page(text: str) -> str:
    """The page with its tables as the recordings have them."""
    tables = [rows(env) for env in ENVIRONMENTS]
    for name, table in (("held", held), ("collectives", collectives), ("refused", refused)):
        start, end = f"<!-- {name} -->\n", f"<!-- end {name} -->"
        before, _, rest = text.partition(start)
        _, _, after = rest.partition(end)
        text = before + start + "\n".join(table(tables)) + "\n" + end + after
    return text


def main() -> int:
    """Write, or check."""
    old = PAGE.read_text(encoding="utf-8")
    new = page(old)
    if "--check" in sys.argv:
        return int(old != new)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
