"""The field table: rows to documents, and a word for everything that has no place."""

from __future__ import annotations

import pytest

from dsbridge.fields import Codec, Fidelity, Field, nest, place, show
from dsbridge.values import AUTO

ROWS = (
    Field("optimizer.lr", "learning_rate"),
    Field("scheduler.type", "lr_scheduler", codec=Codec(words={"cosine": "Cosine"}), hint="Take cosine."),
    Field("training.packing", fidelity=Fidelity.UNSUPPORTED, reason="it has none", hint="Pack before."),
    Field("training.epochs", "steps", fidelity=Fidelity.LOSSY, reason="it counts steps"),
    Field("training.seed", "random.seed", document="other"),
)


def test_values_go_to_their_documents() -> None:
    placed = place(ROWS, {"optimizer.lr": 1e-4, "training.seed": 1, "batch.micro_per_gpu": 2})
    assert placed.documents == {"args": {"learning_rate": 1e-4}, "other": {"random.seed": 1}}
    assert placed.claimed == {"optimizer.lr", "training.seed"}, "nobody claims batch.micro_per_gpu"
    assert placed.diagnostics == ()
    assert placed.document("absent") == {}


def test_auto_is_left_to_the_framework() -> None:
    placed = place(ROWS, {"optimizer.lr": AUTO})
    assert placed.documents == {}
    assert placed.claimed == {"optimizer.lr"}


def test_lossy_unsupported_and_impossible_are_said() -> None:
    values = {"training.packing": True, "training.epochs": 3, "scheduler.type": "linear"}
    placed = place(ROWS, values)
    assert placed.claimed == set(values)
    assert placed.documents == {"args": {"steps": 3}}
    assert [(d.code, d.key, d.severity.value) for d in placed.diagnostics] == [
        ("REN003", "scheduler.type", "error"),
        ("REN002", "training.packing", "warning"),
        ("REN001", "training.epochs", "warning"),
    ]
    assert placed.diagnostics[1].message == "`training.packing: true` is not rendered: it has none"


def test_a_row_must_give_its_reason_and_a_key() -> None:
    with pytest.raises(AssertionError, match="without a reason"):
        place([Field("a", "b", fidelity=Fidelity.LOSSY)], {"a": 1})
    with pytest.raises(AssertionError, match="no key to write it to"):
        place([Field("a")], {"a": 1})


def test_codecs() -> None:
    assert Codec(scale=2).render(3) == 6
    assert Codec(joined=",").render(("a", "b")) == "a,b"
    assert Codec(joined=",").render("all") == "all"
    assert Codec().render((1, 2)) == [1, 2]


def test_nest_and_show() -> None:
    assert nest({"a.b.c": 1, "a.d": 2, "e": 3}) == {"a": {"b": {"c": 1}, "d": 2}, "e": 3}
    assert show((True, "x", AUTO)) == "[true, x, auto]"
