"""Thousands of recorded cases as a few tests: one test each costs more than what is tested."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

SIZE = 60


def batches(cases: Sequence[tuple[str, Any]]) -> list[Any]:
    """Named cases in lists, as parameters of a test."""
    lists = [cases[start : start + SIZE] for start in range(0, len(cases), SIZE)]
    return [pytest.param(some, id=f"{some[0][0]}, and {len(some) - 1} more") for some in lists]


@contextmanager
def case(name: str) -> Iterator[None]:
    """What fails within says which case it was."""
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"{name}: {error}") from error
