"""Which parameters ZeRO-3 gathers how often in a micro-step: its coordinator, played through.

`PartitionedParameterCoordinator` (runtime/zero/partitioned_param_coordinator.py of DeepSpeed) decides by
three limits, and by the order in which modules run. A parameter that is let go is gathered again for its
next use:

- after a module has run, its parameters stay if the next use is less than `stage3_max_reuse_distance`
  elements away;
- the prefetcher looks ahead in the recorded order until it has asked for `stage3_prefetch_bucket_size`
  elements, or until `stage3_max_live_parameters` are gathered; what it passes on the way and finds gathered
  stays for that use.

So the limits work together, and no closed formula has the sum. Engines of four releases gathered exactly
this much (`tests/recorded/planner/measured/`, cases `llama-z3-reuse*`, `-prefetch*`, `-live*`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple


class Turn(NamedTuple):
    """A hook of a module: before it runs (`fetch`) or after. parameters: their places in the model's order.

    forward: of the forward pass, or of one that runs again under checkpointing (`again`).
    """

    module: str
    parameters: tuple[int, ...]
    fetch: bool
    forward: bool
    again: bool = False


class Limits(NamedTuple):
    """In elements: `stage3_max_live_parameters`, `_max_reuse_distance`, `_prefetch_bucket_size`."""

    live: int
    reuse: int
    prefetch: int


class Coordinator:
    """One micro-step of a recorded trace, from nothing gathered but what always is."""

    def __init__(
        self,
        turns: Sequence[Turn],
        sizes: Sequence[int],
        always: frozenset[int],
        frozen: frozenset[int],
        limits: Limits,
    ) -> None:
        self.turns, self.sizes, self.always, self.frozen, self.limits = turns, sizes, always, frozen, limits
        fetches = [turn for turn in turns if turn.fetch]
        # elements that the modules before a step have: what `params_traversed` adds up
        self.before = [0]
        self.uses: list[list[int]] = [[] for _ in sizes]
        for step, turn in enumerate(fetches):
            self.before.append(self.before[-1] + sum(sizes[p] for p in turn.parameters))
            for place in turn.parameters:
                self.uses[place].append(step)
        self.queue = deque((p, step) for step, turn in enumerate(fetches) for p in sorted(turn.parameters))
        self.fetched_for = [-1] * len(sizes)
        self.step = self.live = self.most = self.calls = 0
        self.turning = -1  # elements gathered when the backward pass begins
        self.turned: frozenset[int] = frozenset()  # and whose
        # behind the forward pass, in order: a module that fetched, whether it went back, elements gathered,
        # and those of the largest collective for more than one parameter
        self.behind: list[tuple[str, bool, int, int]] = []
        self.joined = 0
        self.gathered = set(always)
        self.users: list[set[str]] = [set() for _ in sizes]
        self.running: dict[str, None] = {}  # modules whose backward pass has begun and not ended
        self.owned: dict[str, set[int]] = {}
        self.times = [0] * len(sizes)

    def run(self) -> list[int]:
        """How often each parameter is gathered."""
        for turn in self.turns:
            if turn.fetch:
                self.joined = 0
                self.fetch(turn)
                if self.turning >= 0:
                    self.behind.append((turn.module, not turn.forward, self.live, self.joined))
            else:
                self.release(turn)
        return self.times

    def gather(self, places: Sequence[int]) -> None:
        """The collective."""
        self.calls += bool(places)
        for place in places:
            self.gathered.add(place)
            self.times[place] += 1
            self.live += self.sizes[place]
        if len(places) > 1:
            self.joined = max(self.joined, sum(self.sizes[place] for place in places))
        self.most = max(self.most, self.live)

    def during(self, layer: str) -> tuple[int, int, int]:
        """Elements gathered when a layer begins to go back, having run again; at most while it does both; and
        with the buffer that a collective for several parameters has beside them."""
        inside = f"{layer}."
        mine = [
            (back, live, joined)
            for module, back, live, joined in self.behind
            if module == layer or module.startswith(inside)
        ]
        most = max((live for _, live, _ in mine), default=0)
        ran = max((place for place, (back, _, _) in enumerate(mine) if not back), default=-1)
        begins = next((live for _, live, _ in mine[ran + 1 :]), most)
        return begins, most, max((live + joined for _, live, joined in mine), default=0)

    def fetch(self, turn: Turn) -> None:
        """What a module needs now, then what others need next."""
        if not turn.forward:
            self.running[turn.module] = None
            if self.turning < 0:
                self.turning = self.live
                self.turned = frozenset(self.gathered)
        self.gather([p for p in turn.parameters if p not in self.gathered])
        for place in turn.parameters:
            self.users[place].add(turn.module)
            if turn.again and place in self.frozen and self.running:
                # nothing tells when a frozen parameter is done with, so a module that is in its backward pass
                # answers for it
                owner = next(reversed(self.running))
                self.users[place].add(owner)
                self.owned.setdefault(owner, set()).add(place)
        left = {p for p in turn.parameters if self.fetched_for[p] < self.step}
        while self.queue and left:
            place, step = self.queue.popleft()
            self.fetched_for[place] = step
            left.discard(place)
        self.prefetch()
        self.step += 1

    def prefetch(self) -> None:
        """`fetch_sub_module` for the modules ahead."""
        most = min(self.limits.live - self.live, self.limits.prefetch)
        wanted: dict[int, None] = {}
        asked = 0
        while self.queue and asked < most:
            place, step = self.queue.popleft()
            self.fetched_for[place] = max(self.fetched_for[place], step)
            if place not in self.gathered and place not in wanted:
                wanted[place] = None
                asked += self.sizes[place]
        self.gather(list(wanted))

    def release(self, turn: Turn) -> None:
        """What nothing needs soon (`release_sub_module`)."""
        going = {p for p in turn.parameters if p not in self.always and not self.soon(p)}
        ours = set(turn.parameters)
        if not turn.forward:
            owned = self.owned.pop(turn.module, set())
            going |= owned - self.always
            ours |= owned
            self.running.pop(turn.module, None)
        for place in ours:
            self.users[place].discard(turn.module)
            if place in going and place in self.gathered and not self.users[place]:
                self.gathered.discard(place)
                self.live -= self.sizes[place]

    def soon(self, place: int) -> bool:
        """Is a parameter used again before so many elements of others, or was its next use passed by?"""
        if self.fetched_for[place] > self.step:
            return True
        uses = self.uses[place]
        while uses and uses[0] < self.step:
            uses.pop(0)
        if not uses:
            return False
        return self.before[uses[0]] - self.before[self.step] < self.limits.reuse
