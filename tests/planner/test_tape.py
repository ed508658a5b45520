"""The tape by itself: what counts once, and what is alive on the way back."""

from __future__ import annotations

from dsbridge.planner.tape import Tape


def test_a_storage_counts_once() -> None:
    tape = Tape()
    x = tape.start(10, 2, True)
    tape.op((x,), 10, 2, (x,))
    tape.op((x,), 10, 2, (x,))
    assert tape.bytes() == 20


def test_a_view_holds_all_of_what_it_is_a_part_of() -> None:
    tape = Tape()
    whole = tape.op((tape.start(10, 2, True),), 20, 2)
    tape.op((tape.view(whole, 5),), 5, 2, (tape.view(whole, 5),))
    assert tape.bytes() == 40


def test_nothing_is_saved_where_nothing_needs_a_gradient() -> None:
    tape = Tape()
    x = tape.start(10, 2, False)
    y = tape.op((x,), 10, 2, (x,))
    assert tape.bytes() == 0
    assert not y.grad
    assert tape.backward(y) == 0
    tape.op((y,), 10, 2, (y,), trains=True)
    assert tape.bytes() == 20


def test_a_cast_to_the_same_dtype_is_none() -> None:
    tape = Tape()
    x = tape.start(10, 2, True)
    assert tape.cast(x, 2) is x
    assert tape.cast(x, 4).bytes == 40


def test_the_way_back_holds_a_gradient_and_makes_the_next() -> None:
    tape = Tape()
    x = tape.start(10, 2, True)
    y = tape.op((x,), 30, 2, (x,))
    # kept 20, the gradient of y 60, that of x 20
    assert tape.backward(y) == 100


def test_a_sum_hands_its_gradient_on() -> None:
    tape = Tape()
    x = tape.start(10, 2, True)
    y = tape.op((x,), 10, 2)
    # the gradient of the sum is x's and y's; then x has a second one, and their sum is made anew
    assert tape.backward(tape.add(x, y)) == 60


def test_what_an_operator_needs_for_a_moment_counts() -> None:
    tape = Tape()
    x = tape.start(10, 2, True)
    assert tape.backward(tape.op((x,), 10, 2, scratch=7)) == 47
