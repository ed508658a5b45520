"""`dsbridge schema`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from dsbridge.deepspeed.known import harvested

Run = Callable[..., Any]


def test_the_schema_of_a_release_is_strict_json_alone(dsbridge: Run) -> None:
    done = dsbridge("schema", "--deepspeed", "0.18.4")
    assert done.code == 0
    schema = done.json
    assert schema["title"] == "DeepSpeed 0.18.4 config"
    Draft202012Validator.check_schema(schema)


def test_a_build_of_a_release_is_that_release(dsbridge: Run) -> None:
    done = dsbridge("schema", "--deepspeed", "0.18.4+cu121")
    assert done.json["title"] == "DeepSpeed 0.18.4 config"


@pytest.mark.parametrize("version", ["0.15.4", "0.20.0", "1", "newest", ""])
def test_a_version_outside_of_the_tables_is_misuse(dsbridge: Run, version: str) -> None:
    done = dsbridge("schema", "--deepspeed", version)
    assert done.code == 2
    assert done.out == ""
    assert f"{harvested()[0]} to {harvested()[-1]}" in done.err


def test_without_a_release_it_is_the_spec_s(dsbridge: Run) -> None:
    done = dsbridge("schema")
    assert done.json["title"] == "dsbridge parallelism spec"
