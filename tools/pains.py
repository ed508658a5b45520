"""What users struggle with, ranked, and which check catches it: the rows of tools/pains.json as a page.

    python -m tools.pains

prints what no check catches yet.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

from dsbridge.checking.catalogue import own_checks

ROWS = Path(__file__).parent / "pains.json"


@cache
def rows() -> tuple[dict[str, Any], ...]:
    """number, symptom, threads (`owner/name#number`); rules: refusals that are this pain, which EX005 tells;
    beyond: what no static look can see of it; open: the check that is missing while nothing catches it."""
    return tuple(json.loads(ROWS.read_text(encoding="utf-8")))


def caught_by(number: int) -> list[str]:
    """The codes of the checks that catch a pain."""
    return [check.code.code for check in own_checks() if number in check.pains]


def catchers(row: dict[str, Any]) -> list[str]:
    """Checks, and the refusals that EX005 tells."""
    codes = [code for code in caught_by(row["number"]) if code != "EX005"]
    rules = [f"EX005 ({', '.join(row['rules'])})"] if row["rules"] else []
    return codes + (rules or [code for code in caught_by(row["number"]) if code == "EX005"])


def pains_page(stamp: str) -> str:
    """The table."""
    lines = [stamp, "# Pains", ""]
    lines += [
        "What users of DeepSpeed through fine-tuning frameworks ask about most, from their threads, ranked",
        "by how many there are, how silent it is, and how well it can be seen before a launch. EX005",
        "is the check that tells every refusal; the rules in brackets predict it (`dsbridge rule CODE`).",
        "",
    ]
    lines += ["| | symptom | caught by | beyond a static look | threads |", "|--|--|--|--|--|"]
    for row in rows():
        found = ", ".join(map(_link, catchers(row)))
        if not found and row["open"]:
            found = f"not yet: {row['open']}"
        threads = ", ".join(map(_thread, row["threads"]))
        cells = (str(row["number"]), row["symptom"], found or "nothing", row["beyond"], threads)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _link(text: str) -> str:
    code, _, rest = text.partition(" ")
    name = next(check.code.name for check in own_checks() if check.code.code == code)
    return f"[{code}](checks.md#{code.lower()}-{name}) {rest}".rstrip()


def _thread(thread: str) -> str:
    repository, _, number = thread.partition("#")
    return f"[{thread}](https://github.com/{repository}/issues/{number})"


def main() -> int:
    """Exit code 1 while a check is missing."""
    missing = [row for row in rows() if not catchers(row) and row["open"]]
    for row in missing:
        print(f"{row['number']:2} {row['symptom']} Missing: {row['open']}")
    return int(bool(missing))


if __name__ == "__main__":
    sys.exit(main())
