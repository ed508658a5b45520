"""What is wrong with what was said of a model or a plan, and what would do instead."""

from __future__ import annotations


class PlanError(ValueError):
    """A question that has no answer. `problem` says what is wrong, `hint` what to give instead."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(f"{problem}; {hint}")
        self.problem = problem
        self.hint = hint


class ShapeError(PlanError):
    """A model that cannot be counted."""
