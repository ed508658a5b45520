"""`python -m conformance.oracle.generate FRAMEWORK --out FILE [--seed N --count M | --designed]`."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

from conformance.oracle.case import Case, complete, write_lines
from conformance.oracle.cases import BESIDE, FRAMEWORKS, cases_of


def fresh(framework: str, seed: int, count: int) -> list[Case]:
    """`count` different set-ups from the framework's strategy: the same for the same seed."""
    import hypothesis

    found: dict[str, Case] = {}

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=4 * count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=cases_of(framework).setups())
    def collect(case: Case) -> None:
        body = {key: value for key, value in case.items() if key != "id"}
        if len(found) < count and repr(body) not in found:
            found[repr(body)] = {**case, "id": f"{framework}/seed{seed}-{len(found):03d}"}

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collect()
    return [complete(case) for case in found.values()]


def main() -> None:
    """Write the cases."""
    parser = argparse.ArgumentParser(description="Write cases to be observed.")
    parser.add_argument("framework", choices=(*FRAMEWORKS, *BESIDE))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--designed", action="store_true", help="the designed cases instead")
    options = parser.parse_args()
    if options.designed:
        cases = [complete(case) for case in cases_of(options.framework).designed()]
    else:
        cases = fresh(options.framework, options.seed, options.count)
    write_lines(options.out, cases)
    print(f"{len(cases)} cases")


if __name__ == "__main__":
    main()
