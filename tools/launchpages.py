"""docs/reference/launch.md: which kind starts which framework, from what the plugins declare."""

from __future__ import annotations

from dsbridge.plugins import registry
from dsbridge.spec.launching import KINDS


def launch_page(stamp: str) -> str:
    """A table of pairs, and the reason for each that is not."""
    frameworks = {name: found for name, found in sorted(registry().frameworks.items()) if found.starts}
    starts = {name: found.starts() for name, found in frameworks.items() if found.starts}
    lines = [stamp, "# Kinds of launch", "", "What `dsbridge launch --kind` starts for which target.", ""]
    lines += [f"| kind | {' | '.join(starts)} |", f"|--|{'--|' * len(starts)}"]
    for kind in KINDS:
        lines.append(f"| {kind} | {' | '.join('-' if pairs[kind] else 'yes' for pairs in starts.values())} |")
    lines += ["", "## Why not", ""]
    for name, pairs in starts.items():
        lines += [f"- {name}, {kind}: {reason}." for kind, reason in pairs.items() if reason]
    return "\n".join(lines) + "\n"
