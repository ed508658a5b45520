"""Write docs/reference from the declarations that the code itself reads, and the output of commands in docs.

    python -m tools.docgen

A test compares the pages with what this gives, so they cannot drift.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from dsbridge.cli.rulepage import diagnostic_codes
from dsbridge.spec import ParallelSpec
from dsbridge.spec.kinds import Kind
from dsbridge.spec.setting import Part, Section, declared_fields
from tools import accuracy, checkpages, consoles, hardwarepages, launchpages, modelpages, pains, rulepages

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"
STAMP = "<!-- written by tools/docgen.py; do not edit -->\n"


def spec_page() -> str:
    """Every field of the spec: what it takes, what it means, DeepSpeed's name, and the source."""
    lines = [STAMP, "# The spec", "", "Fields of `dsbridge.yaml`. What is not given stays open.", ""]
    lines += _table(ParallelSpec, "")
    for title, of, doc in _sections(ParallelSpec, ""):
        lines += [f"## `{title}`", "", doc, "", *_table(of, f"{title}.")]
    return "\n".join(lines).rstrip() + "\n"


def codes_page() -> str:
    """Every diagnostic of the core and of the installed plugins."""
    lines = [STAMP, "# Diagnostics", "", "Each finding has a code. An error refuses: no file is written.", ""]
    lines += ["| code | name | severity | what it says |", "|--|--|--|--|"]
    for code in sorted(diagnostic_codes().values(), key=lambda c: c.code):
        lines.append(f"| {code.code} | {code.name} | {code.severity.value} | {_cell(code.title)} |")
    return "\n".join(lines) + "\n"


def _sections(of: type[Part], prefix: str) -> Iterator[tuple[str, type[Part], str]]:
    for key, declared in declared_fields(of).items():
        if isinstance(declared, Section):
            yield prefix + key, declared.of, (declared.of.__doc__ or declared.doc).strip()
            yield from _sections(declared.of, f"{prefix}{key}.")


def _table(of: type[Part], prefix: str) -> list[str]:
    rows = ["| key | takes | meaning | DeepSpeed | source |", "|--|--|--|--|--|"]
    for key, declared in declared_fields(of).items():
        if not isinstance(declared, Section):
            name = f"`{declared.deepspeed}`" if declared.deepspeed else ""
            taken, doc = _cell(_takes(declared.kind)), _cell(declared.doc)
            rows.append(f"| `{prefix}{key}` | {taken} | {doc} | {name} | {declared.source} |")
    return [*rows, ""] if len(rows) > 2 else []


def _takes(kind: Kind) -> str:
    return kind.wanted() + (", or `auto`" if kind.auto else "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def accuracy_page() -> str:
    """What was recorded and predicted, and the planner's memory beside what others measured."""
    return rulepages.accuracy_page(STAMP, accuracy.section())


PAGES: dict[str, Callable[[], str]] = {
    "spec.md": spec_page,
    "codes.md": codes_page,
    "checks.md": partial(checkpages.checks_page, STAMP),
    "hardware.md": partial(hardwarepages.hardware_page, STAMP),
    "models.md": partial(modelpages.models_page, STAMP),
    "pains.md": partial(pains.pains_page, STAMP),
    "launch.md": partial(launchpages.launch_page, STAMP),
    "facts.md": partial(rulepages.facts_page, STAMP),
    "accuracy.md": accuracy_page,
    **{
        f"overrides/{layer.name}.md": partial(rulepages.overrides_page, layer, STAMP)
        for layer in rulepages.layers()
    },
}

if __name__ == "__main__":
    for page, make in PAGES.items():
        (REFERENCE / page).parent.mkdir(parents=True, exist_ok=True)
        (REFERENCE / page).write_text(make(), encoding="utf-8")
    for page in consoles.PAGES:
        (REFERENCE.parent / page).write_text(consoles.page(page), encoding="utf-8")
