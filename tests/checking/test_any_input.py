"""Whatever a file holds, check tells something of it or refuses it; it never falls over."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dsbridge.checking.catalogue import own_checks
from dsbridge.checking.running import check_units
from dsbridge.checking.units import units_of
from dsbridge.deepspeed.known import known_keys
from dsbridge.diagnostics import InputError
from dsbridge.reading import Files

SUFFIXES = (".json", ".yaml", ".py", ".sh", ".md", ".txt", ".toml")
EXAMPLES = [
    text for check in own_checks() for one in (check.fires, check.holds) for text in one.files.values()
]
BLOCKS = {path: sorted(block.keys) for path, block in known_keys("0.19.8").items() if "*" not in path}
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 10**10), st.floats(), st.text(max_size=8), st.just("auto"),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
)  # fmt: skip


def look(files: dict[str, str], *given: str) -> None:
    """Findings, each with all that a printer needs; or a refusal."""
    try:
        units, _ = units_of(Files(memory=files), given)
        report = check_units(units)
    except InputError as error:
        assert error.diagnostics
        return
    for finding in report.findings:
        assert finding.message
        assert finding.name
        json.dumps(finding.to_json(), allow_nan=False)


@given(st.text(max_size=300), st.sampled_from(SUFFIXES))
def test_any_text(text: str, suffix: str) -> None:
    look({f"f{suffix}": text}, f"f{suffix}")


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """A DeepSpeed config of real keys with values of every kind."""
    made: dict[str, Any] = {"zero_optimization": {"stage": draw(st.integers(0, 3))}}
    for path in draw(st.lists(st.sampled_from(sorted(BLOCKS)), max_size=5)):
        node: Any = made
        for part in path.split(".") if path else ():
            inner = node.get(part)
            node[part] = node = inner if isinstance(inner, dict) else {}
        for name in draw(st.lists(st.sampled_from(BLOCKS[path] or ["x"]), max_size=4)):
            node[name] = draw(VALUES)
    return made


@given(
    configs(),
    st.sampled_from(["", "torchrun --nproc_per_node 2 train.py --output_dir o --deepspeed ds.json"]),
)
@settings(deadline=None)
def test_any_config(config: dict[str, Any], command: str) -> None:
    text = json.dumps(config)
    look({"ds.json": text}, "ds.json")
    look({"run.sh": command, "ds.json": text}, "run.sh")


@given(st.sampled_from(EXAMPLES), st.integers(0, 10**6), st.text(max_size=6), st.sampled_from(SUFFIXES))
@settings(deadline=None)
def test_a_real_text_with_a_slip(text: str, place: int, slip: str, suffix: str) -> None:
    at = place % (len(text) + 1)
    look({f"f{suffix}": text[:at] + slip + text[at + len(slip) :]}, f"f{suffix}")
