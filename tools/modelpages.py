"""docs/reference/models.md: the catalogue of models, and the architectures that can be counted."""

from __future__ import annotations

from dsbridge.planner import ModelShape, catalogue, model_shape
from dsbridge.planner.architecture import known
from dsbridge.planner.configs import releases

_COLUMNS = (
    "model, also, parameters, for a token, layers, hidden, heads, vocabulary, attention, largest module"
)


def models_page(stamp: str) -> str:
    """Each model of the catalogue with its counts, under the newest transformers."""
    lines = [stamp, "# Models", ""]
    lines += [
        "Shapes that dsbridge knows by name; any other model of a known architecture is read from its "
        "config.json.",
        "Counts are exact: each weight of each model was compared with the real one on the meta device "
        f"(`conformance/shapes`). Sizes of modules are those of transformers {releases()[-1]}.",
        "",
        f"| {' | '.join(_COLUMNS.split(', '))} |",
        "|--|--|--:|--:|--:|--:|--:|--:|--|--|",
    ]
    for entry in catalogue():
        shape = model_shape(entry.name)
        others = ", ".join(name.rpartition("/")[2] for name in entry.names if name != entry.name)
        lines.append(f"| {entry.name} | {others}{_note(entry.note)} | {_cells(shape)} |")
    lines += ["", "## Architectures", "", "`model_type` of a config.json that can be counted:", ""]
    lines.append(", ".join(f"`{name}`" for name in sorted(known())) + ".")
    return "\n".join(lines) + "\n"


def _note(note: str) -> str:
    return f" ({note})" if note else ""


def _cells(shape: ModelShape) -> str:
    name, size = shape.largest_module
    active = f"{shape.active:,}" if shape.experts else ""
    heads = f"{shape.heads}/{shape.kv_heads}"
    cells = (
        f"{shape.total:,}",
        active,
        shape.layers,
        shape.hidden,
        heads,
        f"{shape.vocab:,}",
        shape.attention,
    )
    return " | ".join(str(cell) for cell in (*cells, f"`{name}` {size:,}"))
