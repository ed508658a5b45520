"""Run a rendered `launch.sh`, unedited, with the spy and the CPU patches in its environment."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from conformance.cases import PORT

HERE = Path(__file__).resolve().parent
STEPS = 2
PATIENCE = 120
ABORT = "terminate called without an active exception"


class Run(NamedTuple):
    """What one launch left behind."""

    code: int
    record: dict[str, Any]
    patches: tuple[str, ...]
    log: Path

    @property
    def trained(self) -> bool:
        """Exit code 0 is not enough: `xtuner train` exits 0 when its training process failed
        (xtuner/entry_point.py runs torchrun without looking at its exit code)."""
        done = self.record.get("steps", 0) - self.record.get("skipped", 0)
        broken = "ChildFailedError" in self.log.read_text(encoding="utf-8", errors="replace")
        return bool(done == STEPS) and (self.aborted or (self.code == 0 and not broken))

    @property
    def aborted(self) -> bool:
        """C++ threads of gloo or DeepSpeed's aio ended an interpreter that was on its way out: on a busy
        machine they may still be at work when training is done."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.is_file() else ""
        return self.code == 1 and ABORT in text and "Error: " not in text.partition(ABORT)[0]

    @property
    def sharded(self) -> bool:
        """A run that fell back to plain data parallelism proves nothing, however well it trained."""
        return bool(self.record.get("calls") or self.record.get("fsdp"))


def child_environment(work: Path, record: Path, extra: dict[str, str]) -> dict[str, str]:
    """This environment's programs first, no network, no GPU, two threads at most, and the spy."""
    own = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", str(work)),
        "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(HERE / "spy"),
        "CONFORMANCE_RECORD": str(record),
        "CONFORMANCE_MODEL": str(work / "model"),
        "CONFORMANCE_DATA": str(work / "data"),
        "DS_ACCELERATOR": "cpu",
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HOME": str(work / "hf-home"),
        # Extensions built by DeepSpeed (its CPU Adam, its aio) are kept with the environment.
        "TORCH_EXTENSIONS_DIR": str(Path(sys.prefix) / "torch_extensions"),
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "DISABLE_VERSION_CHECK": "0",
        "PYTHONUNBUFFERED": "1",
    }
    return {**own, **extra}


@contextlib.contextmanager
def alone(port: int = PORT) -> Iterator[None]:
    """Two runs at a time would want the same port, which is part of the recordings.

    And the previous one may need a moment to let go of it.
    """
    name = "dsbridge-conformance.lock" if port == PORT else f"dsbridge-conformance-{port}.lock"
    with (Path(tempfile.gettempdir()) / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for _ in range(PATIENCE):
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("", port))
                break
            time.sleep(1)
        yield


def launch(folder: Path, work: Path, extra: dict[str, str], timeout: float) -> Run:
    """`bash launch.sh` in the rendered folder; its whole process group is ended on a timeout."""
    record, log = folder / "record.json", folder / "log.txt"
    patches = folder / "record.json.patches"
    for old in (record, patches):
        old.unlink(missing_ok=True)
    environment = child_environment(work, record, extra)
    with alone(), log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            ["bash", "launch.sh"], cwd=folder, env=environment,
            stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
            out.write(f"\nended after {timeout:.0f} s without an end of training\n")
    kept = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    used = set(patches.read_text(encoding="utf-8").split()) if patches.is_file() else set()
    return Run(code, kept, tuple(sorted(used)), log)


def tail(log: Path, lines: int = 30) -> str:
    """The end of the log, for a failure."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
