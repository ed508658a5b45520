"""Write plugins/dsbridge_accelerate/launch_options.json: the flags of `accelerate launch`, the YAML's keys.

    python tools/harvest_accelerate.py PYTHON [PYTHON ...]

Each PYTHON is the interpreter of an environment with another Accelerate; oldest first.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

OUT = Path(__file__).parent.parent / "plugins/dsbridge_accelerate/launch_options.json"
ASK = """
import json
import accelerate
from accelerate.commands.config.config_args import ClusterConfig, SageMakerConfig
from accelerate.commands.launch import launch_command_parser
from accelerate.utils import DistributedType
options = {}
for action in launch_command_parser()._actions:
    for name in action.option_strings:
        options[name] = {"dest": action.dest, "shown": "/".join(action.option_strings)}
        if action.nargs == 0:
            options[name]["sets"] = action.const if action.dest != "help" else "help"
        if action.type in (int, float):
            options[name]["type"] = action.type.__name__
        if action.choices:
            options[name]["choices"] = list(action.choices)
found = {
    "version": accelerate.__version__,
    "options": options,
    "cluster": sorted(ClusterConfig.__dataclass_fields__),
    "sagemaker": sorted(SageMakerConfig.__dataclass_fields__),
    "types": [kind.value for kind in DistributedType],
}
print(json.dumps(found))
"""


def main() -> None:
    """Ask each environment, and merge: a later version's flag wins."""
    options: dict[str, Any] = {}
    versions: dict[str, Any] = {}
    for python in sys.argv[1:]:
        answer = subprocess.run([python, "-c", ASK], check=True, capture_output=True, text=True)
        found = json.loads(answer.stdout.splitlines()[-1])
        options |= found["options"]
        versions[found["version"]] = {key: found[key] for key in ("cluster", "sagemaker", "types")}
    text = json.dumps({"options": dict(sorted(options.items())), "versions": versions}, indent=1)
    OUT.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
