"""What is wrong with what was said of a model, and what would do instead."""

from __future__ import annotations


class ShapeError(ValueError):
    """A model that cannot be counted. `problem` says what is wrong, `hint` what to give instead."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(f"{problem}; {hint}")
        self.problem = problem
        self.hint = hint
