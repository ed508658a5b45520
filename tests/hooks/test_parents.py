"""The launch command above a process, asked of real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dsbridge.hooks.parents import launch_words

# Where an installed launcher stands: a file of that name that Python runs, and that starts the program.
STARTS = "import subprocess, sys; sys.exit(subprocess.run([sys.executable, *sys.argv[-2:]]).returncode)"
ASKS = """import json, sys
from dsbridge.hooks import parents

print(json.dumps(list(parents.commands(["torchrun", sys.argv[0]]))))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux")
def test_the_launcher_above(tmp_path: Path) -> None:
    (tmp_path / "torchrun").write_text(STARTS)
    (tmp_path / "train.py").write_text(ASKS)
    words = [sys.executable, "torchrun", "--nproc_per_node", "2", "train.py", "one"]
    env = {"A_B": "1 2", "PYTHONPATH": ":".join(filter(None, sys.path))}
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    (command,) = json.loads(done.stdout)
    assert command[command.index("torchrun") :] == words[1:]
    assert "A_B=1 2" in command


def test_a_command_as_it_was_typed() -> None:
    python, program = "/env/bin/python3.11", ["train.py", "--x", "1"]
    assert launch_words([python, "/env/bin/accelerate", "launch", *program]) == [
        "accelerate",
        "launch",
        *program,
    ]
    assert launch_words([python, "/env/bin/xtuner", "train", "c.py"]) == ["xtuner", "train", "c.py"]
    assert launch_words(["bash", "launch.sh"]) == []
    assert launch_words([python, "-u", *program]) == []
    assert launch_words([]) == []
