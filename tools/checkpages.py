"""The reference page of the checks: one section a check, with its example and what `check` really prints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from dsbridge.checking.catalogue import own_checks
from dsbridge.cli.checkpage import arguments, fix_of, printed
from dsbridge.subjects.contract import Check, Example

_KINDS = {".py": "python", ".yml": "yaml", ".sh": "bash", ".md": "markdown"}


def checks_page(stamp: str) -> str:
    """All checks."""
    lines = [stamp, "# Checks", "", "What `dsbridge check` looks for. Each example is run by the tests."]
    lines += ["", "| code | name | severity | what it finds |", "|--|--|--|--|"]
    for check in own_checks():
        code = check.code
        title = code.title.replace("|", "\\|")
        link = f"[{code.code}](#{code.code.lower()}-{code.name})"
        lines.append(f"| {link} | {code.name} | {code.severity.value} | {title} |")
    for check in own_checks():
        lines += ["", *_section(check)]
    return "\n".join(lines) + "\n"


def _section(check: Check) -> Iterator[str]:
    yield f"## {check.code.code}: {check.code.name}"
    yield from ("", check.code.title, "", f"- why it is bad: {check.why}", f"- what to do: {check.hint}")
    if check.pains:
        yield f"- [pains](pains.md): {', '.join(map(str, check.pains))}"
    if fix := fix_of(check):
        yield f"- `--fix`: {fix}"
    for proof in check.evidence:
        seen = f"; recorded in `{proof.recorded}`" if proof.recorded else "; by source"
        place = f"{proof.package} {proof.version}, `{proof.file}:{proof.lines}`"
        yield f"- proof: {place}: `{proof.quote.strip()}`{seen}"
    yield from ("", "Fires:", "", *_example(check.fires), "", "```text", printed(check), "```")
    yield from ("", "Does not fire:", "", *_example(check.holds))


def _example(example: Example) -> Iterator[str]:
    for name, text in example.files.items():
        suffix = PurePath(name).suffix
        kind = _KINDS.get(suffix, suffix.removeprefix("."))
        fence = "````" if "```" in text else "```"
        yield from (f"`{name}`", "", f"{fence}{kind}", text.rstrip("\n"), fence, "")
    yield from ("```bash", f"dsbridge check {arguments(example)}", "```")
