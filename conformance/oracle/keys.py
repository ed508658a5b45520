"""`python -m conformance.oracle.keys`: the installed DeepSpeed, harvested once more, is as the tables say.

Run with an environment's own Python. The tables have every release between the first and the last; a release
outside of them is said, and is no failure.
"""

from __future__ import annotations

import os
import sys

from tools.merge_versions import differences, split, tables


def main() -> int:
    """Harvest, compare, and print what differs."""
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    from tools.harvest import deepspeed  # imports the package, which looks for its accelerator at once

    found = deepspeed()
    version = found["version"].partition("+")[0]
    known = split(*tables())
    if version not in known:
        print(f"DeepSpeed {version} is not in the tables: see CONTRIBUTING.md, Add a DeepSpeed release")
        return 0
    wrong = differences(known[version], found | {"version": version})
    keys = sum(len(block["keys"]) for block in found["read"].values())
    fields = sum(len(block["fields"]) for block in found["blocks"].values())
    print(
        f"DeepSpeed {version}: {fields} fields of classes, {keys} keys read one by one, {len(wrong)} differ"
    )
    for line in wrong:
        print(f"  {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
