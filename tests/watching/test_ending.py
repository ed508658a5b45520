"""How a run ends: exit codes, signals, workers, --stop, and why there is no call."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.conftest import ROOT
from tests.watching.small import argv, environment, lay_out, observe

SCHEMA = json.loads((ROOT / "docs" / "reference" / "schemas" / "observe.schema.json").read_text())
CALL = "import deepspeed\ndeepspeed.initialize(config={'a': 1})\n"
ENDS = {
    "clean": (CALL, 0, "initialized", None),
    "code": (CALL + "raise SystemExit(7)", 7, "initialized", None),
    "before": ("raise RuntimeError('x')\n" + CALL, 1, "unused", "before"),
    "inside": ("import deepspeed\ndeepspeed.initialize(config={'bad': 1})", 1, "error", "inside"),
    "after": (CALL + "raise RuntimeError('x')", 1, "initialized", "after"),
    "caught": ("import deepspeed\ntry:\n    deepspeed.initialize(config={'bad': 1})\nexcept ValueError: pass",
               0, "error", None),
    "inside-exit": ("import deepspeed, os\n"
                    "class E(dict):\n    def get(self, *a): os._exit(3)\n"
                    "deepspeed.initialize(config=E(a=1))", 3, "error", None),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDS)
def test_the_exit_code_is_the_programs_and_the_outcome_is_told(name: str, tmp_path: Path) -> None:
    script, code, outcome, when = ENDS[name]
    lay_out(tmp_path, script)
    ran = observe(tmp_path)
    jsonschema.validate(ran.report, SCHEMA)
    assert (ran.code, ran.report["exit_code"], ran.report["outcome"]) == (code, code, outcome)
    assert (ran.report["error"] or {}).get("when") == when
    if name == "inside-exit":
        assert (ran.report["calls"][0]["outcome"], ran.config()) == ("unfinished", {"a": 1})


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGUSR1])
def test_it_dies_by_the_signal_that_killed_the_program(number: int, tmp_path: Path) -> None:
    lay_out(tmp_path, CALL + f"import os\nos.kill(os.getpid(), {int(number)})")
    ran = observe(tmp_path)
    assert (ran.code, ran.report["exit_code"]) == (-number, None)
    assert ran.report["signal"] == signal.Signals(number).name
    assert f"killed by {signal.Signals(number).name}" in ran.err


COUNTING = (
    CALL
    + """
import pathlib, signal, sys, time
got = []
def note(number, frame):
    got.append(number)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, note)
pathlib.Path("ready").touch()
end = time.monotonic() + 20
while not got and time.monotonic() < end:
    time.sleep(0.02)
time.sleep(0.4)
print(*got)
raise SystemExit(9)
"""
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"])
@pytest.mark.parametrize("group", [False, True], ids=["to-observe", "to-the-group"])
def test_a_signal_arrives_once(name: str, group: bool, tmp_path: Path) -> None:
    number = getattr(signal, name)
    process = started(tmp_path, COUNTING)
    (os.killpg if group else os.kill)(process.pid, number)
    out, _ = process.communicate(timeout=30)
    assert (out.decode(), process.returncode) == (f"{int(number)}\n", 9)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP", "SIGQUIT"])
def test_an_ignored_signal_reaches_a_program_that_asks_for_it(name: str, tmp_path: Path) -> None:
    """As it would without observe: in the background, or under nohup."""
    number = getattr(signal, name)
    was = signal.signal(number, signal.SIG_IGN)
    try:
        process = started(tmp_path, COUNTING)
    finally:
        signal.signal(number, was)
    os.kill(process.pid, number)
    out, _ = process.communicate(timeout=30)
    assert (out.decode(), process.returncode) == (f"{int(number)}\n", 9)


def started(folder: Path, script: str, *options: str) -> subprocess.Popen[bytes]:
    """`observe` in a process group of its own, once the program says that it is ready."""
    lay_out(folder, script)
    process = subprocess.Popen(
        argv(folder, [sys.executable, "t.py"], options), cwd=folder, env=environment(),
        start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not (folder / "ready").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return process


@pytest.mark.slow
def test_what_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    script = CALL + "import signal\nprint(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)"
    lay_out(tmp_path, script)
    words = argv(tmp_path, [sys.executable, "t.py"], ())
    done = subprocess.run(["nohup", *words], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.stdout == "True\n"


WORKERS = """
import multiprocessing, os, sys
def work(rank):
    os.environ["RANK"], os.environ["WORLD_SIZE"] = str(rank), "2"
    import deepspeed
    deepspeed.initialize(config={"rank": rank})
    open(f"after-{rank}", "w").close()
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    all = [context.Process(target=work, args=(rank,)) for rank in range(2)]
    [w.start() for w in all]; [w.join() for w in all]
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_workers_are_seen(method: str, tmp_path: Path) -> None:
    lay_out(tmp_path, WORKERS)
    ran = observe(tmp_path, sys.executable, "-W", "ignore", "t.py", method, options=("--ranks", "all"))
    # the small package knows no process group: a rank is what the environment says before the call
    assert (ran.code, [call["config"]["rank"] for call in ran.report["calls"]]) == (0, [0, 1])
    ran = observe(tmp_path, sys.executable, "-W", "ignore", "t.py", method)
    assert [call["config"]["rank"] for call in ran.report["calls"]] == [0]
    assert ran.report["calls_on_other_ranks"] == 1


@pytest.mark.slow
def test_programs_that_start_programs(tmp_path: Path) -> None:
    lay_out(tmp_path, CALL)
    ran = observe(tmp_path, "bash", "-c", f"{sys.executable} t.py; exit 4")
    assert (ran.code, ran.config()) == (4, {"a": 1})


def test_stop_ends_the_run_behind_the_engine_that_trains(tmp_path: Path) -> None:
    lay_out(
        tmp_path,
        "import deepspeed, subprocess\ndeepspeed.initialize(config={'reference': 1})\nprint('went on')\n"
        "subprocess.Popen(['sleep', '100'])\n" + CALL + "print('trained')",
    )
    ran = observe(tmp_path, options=("--stop",))
    assert (ran.code, ran.out) == (0, "went on\n")
    assert [call["trains"] for call in ran.report["calls"]] == [False, True]
    assert ran.report["stopped"]
    assert not alive("sleep\x00100", tmp_path)


def alive(words: str, folder: Path) -> bool:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if words.encode() in (entry / "cmdline").read_bytes() and (entry / "cwd").resolve() == folder:
                return True
        except OSError:
            continue
    return False


WHYS: dict[str, tuple[list[str], str]] = {
    "other-ranks": ([sys.executable, "t.py"], CALL),
    "never-called": ([sys.executable, "t.py"], "import deepspeed"),
    "never-imported": ([sys.executable, "t.py"], "import json"),
    "kept-out": ([sys.executable, "-BI", "t.py"], "import json"),
    "no-python": (["true"], ""),
}


@pytest.mark.slow
@pytest.mark.parametrize("why", WHYS)
def test_why_there_is_no_call(why: str, tmp_path: Path) -> None:
    words, script = WHYS[why]
    lay_out(tmp_path, script)
    ran = observe(tmp_path, *words, **({"RANK": "1"} if why == "other-ranks" else {}))
    jsonschema.validate(ran.report, SCHEMA)
    assert (ran.code, ran.report["outcome"], ran.report["reason"]["why"]) == (0, "unused", why)
    assert f"no call of deepspeed.initialize: {ran.report['reason']['text']}" in ran.err


@pytest.mark.slow
@pytest.mark.parametrize("flags", ["-I", "-E", "-S", "-uE", "-W ignore -S", "-X dev -I"])
def test_options_of_python_that_keep_the_hook_out(flags: str, tmp_path: Path) -> None:
    lay_out(tmp_path, "print('ran')")
    ran = observe(tmp_path, sys.executable, *flags.split(), "t.py")
    assert (ran.out, ran.report["reason"]["why"]) == ("ran\n", "kept-out")


@pytest.mark.slow
@pytest.mark.parametrize("words", [["-u", "t.py", "-I"], ["-c", "import sys", "-E"], ["-Wignore", "t.py"]])
def test_options_of_the_program_are_not_pythons(words: list[str], tmp_path: Path) -> None:
    lay_out(tmp_path, "")
    assert observe(tmp_path, sys.executable, *words).report["reason"]["why"] == "never-imported"


def test_a_first_line_that_keeps_the_hook_out(tmp_path: Path) -> None:
    lay_out(tmp_path, tool=f"#!{sys.executable} -E\nprint('ran')\n")
    (tmp_path / "tool").chmod(0o755)
    ran = observe(tmp_path, "./tool")
    assert (ran.out, ran.report["reason"]["why"]) == ("ran\n", "kept-out")


@pytest.mark.slow
def test_the_environment_in_front_is_the_programs(tmp_path: Path) -> None:
    lay_out(tmp_path, "import os\nprint(os.environ['A'], os.environ['PYTHONPATH'].split(':')[1:])")
    assert observe(tmp_path, "A=x y", "PYTHONPATH=p:q", sys.executable, "t.py").out == "x y ['p', 'q']\n"
    assert observe(tmp_path, "env", "A=1", "PYTHONPATH=p", sys.executable, "t.py").out == "1 ['p']\n"
    line = f"A=2 PYTHONPATH=r {sys.executable} t.py"
    assert observe(tmp_path, line).out == "2 ['r']\n"
    ran = observe(tmp_path, "env", "-u", "HOME", "A=3", "sh", "-c", "echo $A $HOME")
    assert ran.out == "3\n"


@pytest.mark.slow
def test_json_has_standard_output_to_itself(tmp_path: Path) -> None:
    lay_out(tmp_path, "print('hello')\n" + CALL)
    ran = observe(tmp_path, options=("--format", "json"))
    found: Any = json.loads(ran.out)
    assert found == ran.report
    assert "hello" in ran.err
    assert "observed:" not in ran.err
    ran = observe(tmp_path)
    assert ran.out == "hello\n"


@pytest.mark.parametrize("words", [[], ["no-such-program"], ["./t.py"]])
def test_what_cannot_be_started_is_said(words: list[str], tmp_path: Path) -> None:
    lay_out(tmp_path, "")
    done = subprocess.run(argv(tmp_path, words, ()), cwd=tmp_path, env=environment(), capture_output=True)
    text = done.stderr.decode()
    assert (done.returncode, "Traceback" in text, text.count("error ")) == (2, False, 1)


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path) -> None:
    lay_out(tmp_path, CALL)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert observe(tmp_path, TMPDIR=str(scratch)).code == 0
    assert list(scratch.iterdir()) == []


def test_bytes_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    lay_out(tmp_path, CALL + "import sys\nraise RuntimeError(sys.argv[1])")
    ran = observe(tmp_path, sys.executable, "t.py", os.fsdecode(b"\xff"), options=("--format", "json"))
    assert (ran.code, json.loads(ran.out)) == (1, ran.report)
    assert ran.report["error"]["message"] == "?"


AGAINST = {
    "version: 1\nzero: {stage: 2}\n": (0, []),
    "version: 1\nzero: {stage: 3}\n": (1, ["zero_optimization.stage"]),
}


@pytest.mark.parametrize("spec", AGAINST)
def test_a_difference_from_a_spec_is_exit_code_1(spec: str, tmp_path: Path) -> None:
    lay_out(tmp_path, CALL, dsbridge__yaml=spec)
    ran = observe(tmp_path, options=("--against", "dsbridge.yaml"))
    jsonschema.validate(ran.report, SCHEMA)
    code, paths = AGAINST[spec]
    assert (ran.code, [entry["path"] for entry in ran.report["differences"]]) == (code, paths)
    assert ran.report["exit_code"] == 0
    assert ("not as dsbridge.yaml means it: 1 difference" in ran.err) == bool(code)
    assert ("as dsbridge.yaml means it" in ran.err.splitlines()) != bool(code)


@pytest.mark.slow
def test_the_programs_own_failure_outranks_a_difference(tmp_path: Path) -> None:
    spec = next(text for text, (code, _) in AGAINST.items() if code)
    lay_out(tmp_path, CALL + "raise SystemExit(5)", dsbridge__yaml=spec)
    ran = observe(tmp_path, options=("--against", "dsbridge.yaml"))
    assert (ran.code, len(ran.report["differences"])) == (5, 1)


def test_what_it_is_held_against_is_read_before_anything_runs(tmp_path: Path) -> None:
    lay_out(tmp_path, "open('ran', 'w')", dsbridge__yaml="version: 1\nzero: {stage: 9}\n")
    ran = observe(tmp_path, options=("--against", "dsbridge.yaml"))
    assert (ran.code, (tmp_path / "ran").exists()) == (2, False)
    ran = observe(tmp_path, options=("--against", "missing.yaml"))
    assert (ran.code, (tmp_path / "ran").exists()) == (2, False)
