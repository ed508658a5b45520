"""The conformance session: real frameworks, each in its own environment, on two CPU ranks.

`nox -s conformance` runs all three, `nox -s "conformance(hf)"` one, and everything after `--` goes
to `python -m conformance.run` (`--write`, `--only EXAMPLE`, `--target T`). `nox -s "oracle(hf-old)"`
does the same for `python -m conformance.oracle`, which also has environments of older versions, and
`nox -s "ds_configs(hf)"` for `python -m conformance.ds_configs`, `nox -s "measure(hf)"` for
`python -m conformance.planner`, `nox -s "observe(hf)"` for `python -m conformance.observing`,
`nox -s "hooks(hf)"` for `python -m conformance.hooking`, `nox -s "stepping(hf)"`, `nox -s "loading(hf)"`
and `nox -s "estimators(hf)"` for modules of `conformance/planner`.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nox

ROOT = Path(__file__).resolve().parent
ENVIRONMENTS = ("hf", "llamafactory", "xtuner")
# one of each DeepSpeed: 0.19.8, 0.18.4, 0.16.9
DS_CONFIG_ENVIRONMENTS = ("hf", "llamafactory", "hf-old")
# transformers 5.23.0, 5.6.0 (with bitsandbytes and LLaMA-Factory) and 4.51.3
SHAPE_ENVIRONMENTS = ("hf", "llamafactory", "hf-old")
ENGINE_RESUMING = ("hf", "hf-old")
FRAMEWORK_RESUMING = ("hf", "xtuner", "llamafactory")
RESUMING_ENVIRONMENTS = (*ENGINE_RESUMING, "xtuner", "llamafactory")
# and 0.16.2
MEASURED_ENVIRONMENTS = (*DS_CONFIG_ENVIRONMENTS, "xtuner")
# transformers 5.23.0 and 4.51.3
ACTIVATION_ENVIRONMENTS = ("hf", "hf-old")
# also transformers 4.51.3 with DeepSpeed 0.16.9
HOOK_ENVIRONMENTS = (*ENVIRONMENTS, "hf-old")
# as conformance/planner/liger.py has them
LIGER_RELEASES = (
    *("0.3.1", "0.4.2", "0.5.2", "0.5.5", "0.5.10", "0.6.2", "0.6.4", "0.7.0", "0.8.0", "0.8.3", "0.8.5"),
)
LIGER_TRITON = "3.4.0"
# on both sides of 4.50, which alone reads all but the last file of a checkpoint into a rank's own memory
LOADING_RELEASES = ("4.49.0", "4.50.0", "4.50.3", "4.51.0")
ORACLE_ENVIRONMENTS = ("hf", "hf-old", "llamafactory", "llamafactory-old", "xtuner", "trl", "trl-old")
# Only downloads are tried again; a build or a conflict fails at once, because it would fail again.
DOWNLOAD = ("--quiet", "--retries", "5", "--timeout", "180")

nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["conformance"]
nox.options.default_venv_backend = "venv"


class Step(NamedTuple):
    """One `pip install`: DeepSpeed builds against the torch that an earlier step installed."""

    name: str
    options: tuple[str, ...]
    requirements: tuple[str, ...]


def steps(text: str) -> Iterator[Step]:
    """Split an environment file at its `#: step NAME [pip options]` lines, order kept."""
    for block in text.split("#: step ")[1:]:
        head, *rest = block.splitlines()
        name, *options = head.split()
        wanted = tuple(line for line in rest if line.strip() and not line.startswith("#"))
        yield Step(name, tuple(options), wanted)


def install_environment(session: nox.Session, env: str, venv: Path) -> str:
    """Install what `conformance/envs/<env>.txt` lists, unless this very list is there already.

    And dsbridge itself, always, so that a plugin added since the last run has its entry point.
    """
    python = str(venv / "bin" / "python")
    folder = ROOT / "conformance" / "envs"
    text, lock = (folder / f"{env}.txt").read_text(encoding="utf-8"), folder / f"{env}.lock"
    digest = hashlib.sha256(text.encode() + lock.read_bytes()).hexdigest()
    stamp = venv / "conformance.sha256"
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != digest:
        for step in steps(text):
            session.log(f"{env}: {step.name}")
            options = (*DOWNLOAD, *step.options, "--constraint", str(lock))
            session.run(python, "-m", "pip", "install", *options, *step.requirements)
        stamp.write_text(digest, encoding="utf-8")
    quick = ("--quiet", "--no-deps", "--no-build-isolation")
    session.run(python, "-m", "pip", "install", *quick, "-e", ".")
    return python


def shared_environment(session: nox.Session, env: str) -> str:
    """The Python of conformance(env): another environment would be a second copy, of up to 5 GB."""
    venv = ROOT / ".nox" / f"conformance-{env}"
    if not venv.is_dir():
        session.run(sys.executable, "-m", "venv", str(venv))
    return install_environment(session, env, venv)


@nox.session
@nox.parametrize("env", [nox.param(name, id=name) for name in ENVIRONMENTS])
def conformance(session: nox.Session, env: str) -> None:
    """Train from the rendered files of every example and compare with the recordings."""
    python = install_environment(session, env, Path(session.virtualenv.location))
    session.run(python, "-m", "conformance.run", "--env", env, *session.posargs)


@nox.session(venv_backend="none")
@nox.parametrize("env", [nox.param(name, id=name) for name in ORACLE_ENVIRONMENTS])
def oracle(session: nox.Session, env: str) -> None:
    """Rules and tables against the installed packages: quotes, a harvest, recorded cases, two real ranks."""
    python = shared_environment(session, env)
    session.run(python, "-m", "conformance.oracle.quotes")
    session.run(python, "-m", "conformance.oracle.tables")
    session.run(python, "-m", "conformance.oracle.keys")
    session.run(python, "-m", "conformance.oracle", "--env", env, *session.posargs)
    session.run(python, "-m", "conformance.oracle.verifying", "--env", env)
    if not session.posargs:  # a quarter of an hour; `-- --every 8` is a quick look without it
        session.run(python, "-m", "conformance.oracle.real", "--env", env)


@nox.session(venv_backend="none")
@nox.parametrize("env", [nox.param(name, id=name) for name in ENVIRONMENTS])
def observe(session: nox.Session, env: str) -> None:
    """`dsbridge observe` on real runs, also on ones that go wrong, against the recordings."""
    python = shared_environment(session, env)
    session.run(python, "-m", "conformance.observing", "--env", env, *session.posargs)


@nox.session(venv_backend="none")
@nox.parametrize("env", [nox.param(name, id=name) for name in HOOK_ENVIRONMENTS])
def hooks(session: nox.Session, env: str) -> None:
    """The hooks in real two-rank runs: those that agree train, planted drifts stop; as recorded."""
    session.run(shared_environment(session, env), "-m", "conformance.hooking", "--env", env, *session.posargs)


@nox.session(venv_backend="none")
@nox.parametrize("env", [nox.param(name, id=name) for name in DS_CONFIG_ENVIRONMENTS])
def ds_configs(session: nox.Session, env: str) -> None:
    """What real DeepSpeedConfig accepts, refuses and never reads, against the recordings."""
    session.run(shared_environment(session, env), "-m", "conformance.ds_configs", *session.posargs)


@nox.session(venv_backend="none")
@nox.parametrize("env", [nox.param(name, id=name) for name in SHAPE_ENVIRONMENTS])
def shapes(session: nox.Session, env: str) -> None:
    """Every weight of the catalogue and of tiny models of every architecture, against the recordings."""
    session.run(shared_environment(session, env), "-m", "conformance.shapes", "--env", env, *session.posargs)


@nox.session(venv_backend="none")
@nox.parametrize("env", [nox.param(name, id=name) for name in MEASURED_ENVIRONMENTS])
def measure(session: nox.Session, env: str) -> None:
    """What real engines hold and move, by part and by collective, against the recordings."""
    session.run(shared_environment(session, env), "-m", "conformance.planner", "--env", env, *session.posargs)


@nox.session(venv_backend="none")
@nox.parametrize("env", [nox.param(name, id=name) for name in MEASURED_ENVIRONMENTS])
def stepping(session: nox.Session, env: str) -> None:
    """What an optimizer step of real engines, and a loss, allocate at most, against the recordings."""
    python = shared_environment(session, env)
    session.run(python, "-m", "conformance.planner.losses", "--env", env, *session.posargs)
    session.run(python, "-m", "conformance.planner.stepping", "--env", env, *session.posargs)


@nox.session(venv_backend="none")
@nox.parametrize("env", [nox.param(name, id=name) for name in MEASURED_ENVIRONMENTS])
def loading(session: nox.Session, env: str) -> None:
    """What a host holds while real ranks load a model and make engines of it, against the recordings."""
    python = shared_environment(session, env)
    session.run(python, "-m", "conformance.planner.loading", "--env", env, *session.posargs)
    if env != "hf-old":
        return
    packages = Path(session.create_tmp())
    for release in LOADING_RELEASES:
        name = f"transformers-{release}"
        target = packages / name
        if not target.is_dir():
            wanted = f"transformers=={release}"
            session.run(python, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target), wanted)
        told = ("--env", name, "--loads-only", *session.posargs)
        on_path = {"PYTHONPATH": str(target)}
        session.run(python, "-m", "conformance.planner.loading", *told, env=on_path)


@nox.session(venv_backend="none")
@nox.parametrize("env", [nox.param(name, id=name) for name in MEASURED_ENVIRONMENTS])
def estimators(session: nox.Session, env: str) -> None:
    """DeepSpeed's own estimators on random inputs, against the recordings."""
    python = shared_environment(session, env)
    session.run(python, "-m", "conformance.planner.estimators", "--env", env, *session.posargs)


@nox.session(venv_backend="none")
@nox.parametrize("env", [nox.param(name, id=name) for name in ACTIVATION_ENVIRONMENTS])
def activations(session: nox.Session, env: str) -> None:
    """What autograd keeps of tiny models of each architecture, against the recordings."""
    python = shared_environment(session, env)
    session.run(python, "-m", "conformance.planner.activations", "--env", env, *session.posargs)


@nox.session(venv_backend="none")
@nox.parametrize("env", [nox.param(name, id=name) for name in ENVIRONMENTS])
def launching(session: nox.Session, env: str) -> None:
    """The written launches, run on two nodes of this machine, against the recordings."""
    python = shared_environment(session, env)
    session.run(python, "-m", "conformance.launching", "--env", env, *session.posargs)
    session.run(python, "-m", "conformance.launching.slurm", "--env", env, *session.posargs)
    if env == "llamafactory":
        for name in ("llamafactory", "llamafactory-old"):
            own = shared_environment(session, name)
            session.run(own, "-m", "conformance.launching.ray_parsers", "--env", name, *session.posargs)


@nox.session
def ray(session: nox.Session) -> None:
    """Ray's own parser on what is written for it."""
    session.install(*DOWNLOAD, "ray[default]==2.60.0", "-e", ".")
    session.run("python", "-m", "conformance.launching.ray_parsers", "--env", "ray", *session.posargs)


@nox.session(venv_backend="none")
@nox.parametrize("env", [nox.param(name, id=name) for name in RESUMING_ENVIRONMENTS])
def resuming(session: nox.Session, env: str) -> None:
    """Checkpoints of real engines, resumed with other settings, against the recordings.

    With `-- --case` those of plain engines alone, where an environment has both.
    """
    python = shared_environment(session, env)
    if env in ENGINE_RESUMING:
        session.run(python, "-m", "conformance.resuming", "--env", env, *session.posargs)
    if env in FRAMEWORK_RESUMING and not (env in ENGINE_RESUMING and "--case" in session.posargs):
        session.run(python, "-m", "conformance.resuming.frameworks", "--env", env, *session.posargs)


@nox.session(venv_backend="none")
def liger(session: nox.Session) -> None:
    """What models keep with Liger's kernels, which Triton interprets on the CPU, against the recordings."""
    python = shared_environment(session, "hf")
    packages = Path(session.create_tmp())
    wanted = {"triton": f"triton=={LIGER_TRITON}"}
    wanted |= {release: f"liger-kernel=={release}" for release in LIGER_RELEASES}
    for folder, package in wanted.items():
        if not (packages / folder).is_dir():
            target = str(packages / folder)
            session.run(python, "-m", "pip", "install", "-q", "--no-deps", "--target", target, package)
    session.run(python, "-m", "conformance.planner.liger", "--packages", str(packages), *session.posargs)


@nox.session(venv_backend="none")
def unpacked(session: nox.Session) -> None:
    """What GPTQ's layers unpack and autograd keeps, against the recording."""
    python = shared_environment(session, "xtuner")
    packages = Path(session.create_tmp())
    for package in ("auto-gptq==0.7.1", "gekko==1.3.3"):
        folder = packages / package
        if not folder.is_dir():
            session.run(python, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), package)
    session.run(python, "-m", "conformance.planner.unpacked", "--packages", str(packages), *session.posargs)


@nox.session(venv_backend="none")
def prepared(session: nox.Session) -> None:
    """What DeepSpeed makes of a model that PEFT prepared for training in few bits, against the recording."""
    python = shared_environment(session, "llamafactory")
    session.run(python, "-m", "conformance.planner.prepared", *session.posargs)
