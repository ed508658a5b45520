"""Check a corpus of real configs, count what is found, and draw a sample to be read by hand.

    python -m tools.precision FOLDER [--seed N] [--count 100] [--notes] [--record NAME | --recount]

FOLDER holds one folder a framework, and INDEX.tsv, which says where each file stood in its repository.
Each file is checked twice: alone, and in its repository as far as the corpus has it, so that a training
YAML meets the DeepSpeed config that it names. The same finding in both is counted once.
--notes draws from what is for the record only; else errors and warnings are drawn. --record keeps the
counts and the sample, under a name, in tools/precision_sample.json, where the reader puts in the verdicts;
the page docs/reference/corpus.md shows them (tools/corpus.py).
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dsbridge.checking.running import check_units
from dsbridge.checking.units import units_of
from dsbridge.diagnostics import Diagnostic, Severity
from dsbridge.reading import Files

DATA = Path(__file__).parent / "precision_sample.json"
ALONE, PLACED = "alone", "in its repository"
ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


class Entry(NamedTuple):
    """A line of INDEX.tsv."""

    file: str
    repo: str
    commit: str
    path: str


class Found(NamedTuple):
    """A finding in a file of the corpus. how: alone, or in its repository."""

    file: str
    how: str
    finding: Diagnostic


def index(corpus: Path) -> list[Entry]:
    """Where each file comes from."""
    with (corpus / "INDEX.tsv").open(encoding="utf-8", newline="") as stream:
        rows = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [Entry(r["file"], r["repo"], r["commit"], r["original path"]) for r in rows if r["commit"]]


def alone(corpus: Path, entries: Iterable[Entry]) -> Iterator[Found]:
    """Every file by itself."""
    for entry in entries:
        units, _ = units_of(Files(corpus), [entry.file], each=True)
        yield from (Found(entry.file, ALONE, finding) for finding in check_units(units).findings)


def placed(corpus: Path, entries: Sequence[Entry]) -> Iterator[Found]:
    """Every repository as it was at a commit; what the corpus lacks of a commit is taken from another."""
    repositories: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        repositories[entry.repo].append(entry)
    for several in repositories.values():
        newest = {entry.path: entry for entry in reversed(several)}
        for commit in sorted({entry.commit for entry in several}):
            own = {entry.path: entry for entry in several if entry.commit == commit}
            with tempfile.TemporaryDirectory() as folder:
                yield from _folder(corpus, Path(folder), {**newest, **own}, own)


def _folder(corpus: Path, root: Path, entries: dict[str, Entry], own: dict[str, Entry]) -> Iterator[Found]:
    for path, entry in entries.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes((corpus / entry.file).read_bytes())
    units, _ = units_of(Files(root), ["."])
    wanted = [unit for unit in units if unit.lone or set(unit.given) & set(own)]
    for finding in check_units(wanted).findings:
        if finding.file in entries:
            yield Found(entries[finding.file].file, PLACED, finding)


def everything(corpus: Path) -> list[Found]:
    """All findings, each once; of two that say the same, the one in the repository."""
    entries = index(corpus)
    found: dict[Any, Found] = {}
    for each in (*alone(corpus, entries), *placed(corpus, entries)):
        said = each.finding._replace(file=None, hint="", fix=None)
        found[each.file, said] = each
    return sorted(found.values(), key=lambda each: (each.file, each.finding.line or 0, each.finding.code))


def draw(found: Sequence[Found], count: int, seed: int, *, notes: bool = False) -> list[Found]:
    """A random sample: first one of each code, errors before warnings, then of all that is left alike."""
    rng = random.Random(seed)
    pool = [each for each in found if (each.finding.severity is Severity.INFO) is notes]
    rng.shuffle(pool)
    first: dict[Any, Found] = {}
    for each in pool:
        first.setdefault((ORDER[each.finding.severity], each.finding.code), each)
    chosen = [first[key] for key in sorted(first)]
    rest = [each for each in pool if each not in chosen]
    return [*chosen, *rest][:count]


def counts(found: Iterable[Found]) -> list[dict[str, Any]]:
    """How many findings of each code and severity, in how many files."""
    number: Counter[tuple[str, str, str]] = Counter()
    files: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)
    for each in found:
        key = (each.finding.code, each.finding.name, each.finding.severity.value)
        number[key] += 1
        files[key].add(each.file)
    return [
        {
            "code": key[0],
            "name": key[1],
            "severity": key[2],
            "findings": number[key],
            "files": len(files[key]),
        }
        for key in sorted(number, key=lambda key: (ORDER[Severity(key[2])], key[0]))
    ]


def shown(corpus: Path, each: Found, around: int = 4) -> str:
    """A finding with the lines of the file around it."""
    text = f"[{each.how}] {each.finding._replace(file=each.file).to_text()}\n    key: {each.finding.key}"
    lines = (corpus / each.file).read_text(encoding="utf-8", errors="replace").splitlines()
    line = each.finding.line or 0
    numbered = list(enumerate(lines, start=1))[max(line - around - 1, 0) : line + around]
    told = (f"{'>' if number == line else ' '}{number:4} {content[:140]}" for number, content in numbered)
    return "\n".join([text, *told])


def recorded(each: Found) -> dict[str, Any]:
    """A finding as the data keeps it: nothing of the file but the key."""
    finding = each.finding
    place = {"file": each.file, "how": each.how, "line": finding.line, "key": finding.key}
    return {**place, "code": finding.code, "severity": finding.severity.value, "verdict": "", "reason": ""}


def section(data: dict[str, Any]) -> list[str]:
    """The lines of docs/reference/corpus.md about precision."""
    lines = ["## Checked", ""]
    lines += [
        f"`dsbridge check` over {data['files']} of these files, each alone and each in its repository as far",
        "as the corpus has it; what is found both ways counts once. Counted by `tools/precision.py`.",
        "",
        "| code | name | severity | findings | files |",
        "|--|--|--|--|--|",
    ]
    lines += [
        f"| {row['code']} | {row['name']} | {row['severity']} | {row['findings']} | {row['files']} |"
        for row in data["counts"]
    ]
    lines += ["", "## Read by hand", ""]
    lines += [
        "Samples, drawn at random with one of each code first, and read one by one; where in doubt the real",
        "package was run. A false alarm is a finding that says what does not happen, or that its user would",
        "call noise. `tools/precision_sample.json` has every verdict with its reason.",
        "",
        "| sample | seed | errors | false | warnings | false | notes | false |",
        "|--|--|--|--|--|--|--|--|",
    ]
    for sample in data["samples"]:
        cells = " | ".join(_cell(sample["findings"], severity) for severity in ("error", "warning", "info"))
        lines.append(f"| {sample['name']} | {sample['seed']} | {cells} |")
    for sample in data["samples"]:
        wrong = Counter(
            (one["code"], one["severity"], one["reason"])
            for one in sample["findings"]
            if one["verdict"] == "false"
        )
        if wrong:
            lines += ["", f"False alarms of the sample {sample['name']}:", ""]
            lines += [
                f"- {code} {severity}, {count}: {reason}"
                for (code, severity, reason), count in sorted(wrong.items())
            ]
    return lines


def _cell(findings: Iterable[dict[str, Any]], severity: str) -> str:
    own = [one["verdict"] for one in findings if one["severity"] == severity]
    return f"{len(own)} | {own.count('false')}"


def main(words: Sequence[str] | None = None) -> None:
    """Print the counts and the sample; with --record, keep them."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("corpus", type=Path)
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--count", type=int, default=100)
    asked.add_argument("--notes", action="store_true")
    asked.add_argument("--record", metavar="NAME", default="", help="keep counts and sample")
    asked.add_argument("--recount", action="store_true", help="keep the counts alone")
    given = asked.parse_args(words)
    found = everything(given.corpus)
    sample = draw(found, given.count, given.seed, notes=given.notes)
    for row in counts(found):
        print(f"{row['findings']:5} in {row['files']:3} files: {row['severity']} {row['code']} {row['name']}")
    for number, each in enumerate(sample, start=1):
        print(f"\n{number}. {shown(given.corpus, each)}")
    data = json.loads(DATA.read_text(encoding="utf-8")) if DATA.exists() else {"samples": []}
    if given.record:
        kept = [one for one in data["samples"] if one["name"] != given.record]
        new = {"name": given.record, "seed": given.seed, "findings": [recorded(each) for each in sample]}
        data["samples"] = [*kept, new]
    if given.record or given.recount:
        told = {"files": len(index(given.corpus)), "counts": counts(found), "samples": data["samples"]}
        DATA.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
