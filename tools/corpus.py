"""Parse every file of a corpus of real configs, and count what becomes of them.

    python -m tools.corpus FOLDER

FOLDER holds one folder a framework (deepspeed, llamafactory, accelerate). Prints the counts and writes
docs/reference/corpus.md, where what `check` says of them is told too (tools/precision.py). The files
are other people's, so they are not in this repository; a test makes the same counts where
DSBRIDGE_CORPUS names the folder.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dsbridge.artifacts import Artifacts
from dsbridge.assumed import with_script
from dsbridge.deepspeed.meanings import NOTHING
from dsbridge.diagnostics import InputError
from dsbridge.differing import diff
from dsbridge.explaining import Explanation, explain
from dsbridge.parsing import Parsed, parse
from dsbridge.prediction import launch_words
from dsbridge.reading import Files
from dsbridge.rendering import render
from tools.precision import DATA, section

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "corpus.md"
# what only a run knows, the same for every file
FACTS = {"world_size": 8, "num_training_steps": 100, "hidden_size": 4096, "gpus": 8}
OUTCOMES = {
    "refused": "refused with a diagnostic: no framework's file, or one that dsbridge declines",
    "back": "parsed, rendered back, and the framework gets the same effective config",
    "stops": "parsed; the framework itself refuses the file (the same before and after, or not rendered)",
    "not rendered": "parsed and kept; rendering back is refused with a diagnostic",
    "differs": "parsed, and something else would train",
}


class Row(NamedTuple):
    """One file."""

    framework: str
    name: str
    outcome: str
    note: str = ""


def rows(corpus: Path) -> Iterator[Row]:
    """Every file of the corpus."""
    for folder in sorted(path for path in corpus.iterdir() if path.is_dir()):
        for file in sorted(folder.iterdir()):
            yield row(folder, file.name)


def row(folder: Path, name: str) -> Row:
    """What becomes of one file."""
    try:
        found = parse(Files(folder), [name], source=folder.name, facts=FACTS)
    except InputError as error:
        return Row(folder.name, name, "refused", error.diagnostics[0].code)
    artifacts = render(found.loaded, folder.name)

    def before(facts: Mapping[str, Any]) -> Explanation:
        return explain(Files(folder), [name], target=folder.name, facts={**FACTS, **facts})

    def after(facts: Mapping[str, Any]) -> Explanation:
        return _again(folder, found, artifacts, {**FACTS, **facts})

    stopped = before({}).error
    if artifacts.refused:
        code = artifacts.diagnostics[0].code
        return Row(folder.name, name, "stops" if stopped else "not rendered", code)
    if stopped:
        return Row(folder.name, name, "stops", stopped["type"])
    entries = diff(before, after).differences
    different = [entry.path for entry in entries if entry.meaning.kind != NOTHING]
    return Row(folder.name, name, "differs" if different else "back", ", ".join(different[:3]))


def _again(folder: Path, found: Parsed, artifacts: Artifacts, facts: Mapping[str, Any]) -> Explanation:
    """What the framework makes of the rendered files."""
    if found.framework == "deepspeed":
        files = Files(Path(), dict(artifacts.files))
        return explain(files, ["ds_config.json"], target="deepspeed", facts=facts)
    if found.framework == "accelerate":  # a YAML alone, as it was
        files = Files(folder, dict(artifacts.files), alone=False)
        return explain(files, ["accelerate_config.yaml"], target="accelerate", facts=facts)
    texts, _ = with_script(artifacts, found.loaded.spec, present=False)
    files = Files(folder, texts, alone=False)
    return explain(files, command=launch_words(artifacts), target=found.framework, facts=facts)


def page(found: list[Row]) -> str:
    """The counts as Markdown."""
    lines = ["<!-- written by tools/corpus.py; do not edit -->", "# Real configs, parsed", ""]
    lines += [
        "Public configs from GitHub, parsed into a spec and rendered back for the same framework; the",
        "effective DeepSpeed config before and after is predicted and compared (8 ranks).",
        "",
    ]
    names = sorted({entry.framework for entry in found})
    lines += [f"| outcome | {' | '.join(names)} |", f"|--|{'--|' * len(names)}"]
    counts = Counter((entry.framework, entry.outcome) for entry in found)
    for outcome, text in OUTCOMES.items():
        cells = " | ".join(str(counts[name, outcome]) for name in names)
        lines.append(f"| {text} | {cells} |")
    for outcome in ("differs", "not rendered"):
        entries = [entry for entry in found if entry.outcome == outcome]
        if entries:
            lines += ["", f"## {outcome}", ""]
            lines += [f"- `{entry.framework}/{entry.name}`: {entry.note}" for entry in entries]
    lines += ["", *section(json.loads(DATA.read_text(encoding="utf-8")))]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Exit code 1 if a file trains something else than before."""
    found = list(rows(Path(sys.argv[1])))
    text = page(found)
    PAGE.write_text(text, encoding="utf-8")
    print(text)
    return int(any(entry.outcome == "differs" for entry in found))


if __name__ == "__main__":
    sys.exit(main())
