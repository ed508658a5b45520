"""The import hook: the program's own sitecustomize, import forms, other Pythons, what leaves no trace."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.watching.small import environment, lay_out, observe

STANDALONE = ("first/sitecustomize", "after_import", "calls", "engine", "recorder")
FORMS = {
    "module": "import deepspeed\ndeepspeed.initialize(config={'a': 1})",
    "renamed": "import deepspeed as ds\nds.initialize(config={'a': 1})",
    "by-name": "from deepspeed import initialize\ninitialize(config={'a': 1})",
    "config-params": "import deepspeed\ndeepspeed.initialize(config_params={'a': 1})",
    "positional": "import deepspeed\ndeepspeed.initialize(None, None, None, {'a': 1})",
    "importlib": "import importlib\nimportlib.import_module('deepspeed').initialize(config={'a': 1})",
    "late": "def f():\n    from deepspeed import initialize\n    initialize(config={'a': 1})\nf()",
    "engine": "from deepspeed.runtime.engine import DeepSpeedEngine\nDeepSpeedEngine(config={'a': 1})",
    "submodule-first": "import deepspeed.runtime.engine as e\ne.sys = 1\nimport deepspeed\n"
    "deepspeed.initialize(config={'a': 1})",
}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_every_way_to_import_it_is_seen_once(form: str, tmp_path: Path) -> None:
    lay_out(tmp_path, FORMS[form])
    ran = observe(tmp_path)
    assert (ran.code, len(ran.report["calls"]), ran.config()) == (0, 1, {"a": 1})
    name, _, line = ran.report["calls"][0]["at"].partition(":")
    assert (name, "{'a': 1}" in FORMS[form].splitlines()[int(line) - 1]) == ("t.py", True)


def test_the_config_is_kept_as_it_was_before_the_call(tmp_path: Path) -> None:
    lay_out(tmp_path, "import deepspeed\nc = {'a': 1}\ndeepspeed.initialize(config=c)\nprint(c)")
    ran = observe(tmp_path)
    assert ran.out == "{'a': 1, 'changed': True}\n"
    assert ran.config() == {"a": 1}


def test_the_programs_own_sitecustomize_runs_as_if_nothing_were_before_it(tmp_path: Path) -> None:
    lay_out(
        tmp_path,
        "import sitecustomize, sys, deepspeed, inspect\n"
        "print(sitecustomize.__file__, sitecustomize.WHO)\n"
        "print([p for p in sys.path if 'observe' in p], inspect.signature(deepspeed.initialize))\n"
        "print(type(deepspeed.__loader__).__name__, deepspeed.__spec__.loader is deepspeed.__loader__)\n"
        "print(deepspeed.initialize.__doc__, deepspeed.initialize.__module__)\n",
        sitecustomize__py="WHO = 'mine'\nprint('once')\n",
    )
    ran = observe(tmp_path, f"PYTHONPATH={tmp_path}", sys.executable, "t.py")
    assert ran.out.splitlines() == [
        "once",
        f"{tmp_path}/sitecustomize.py mine",
        "[] (args=None, model=None, optimizer=None, config=None, config_params=None)",
        "SourceFileLoader True",
        "the doc deepspeed",
    ]


def test_a_sitecustomize_that_fails_is_told_as_python_tells_it(tmp_path: Path) -> None:
    lay_out(tmp_path, "import deepspeed\ndeepspeed.initialize(config={'a': 1})",
            sitecustomize__py="raise ValueError('mine')")  # fmt: skip
    ran = observe(tmp_path, f"PYTHONPATH={tmp_path}", sys.executable, "t.py")
    assert "Error in sitecustomize; set PYTHONVERBOSE for traceback:\nValueError: mine" in ran.err
    assert (ran.code, ran.config()) == (0, {"a": 1})


def test_without_one_there_is_none(tmp_path: Path) -> None:
    lay_out(tmp_path, "import sys\nprint('sitecustomize' in sys.modules)\nimport sitecustomize")
    words = [sys.executable, "t.py"]
    plain = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, env=environment())
    ran = observe(tmp_path)
    assert (ran.out, ran.code) == (plain.stdout, plain.returncode)


def test_a_pth_file_may_have_imported_it_before(tmp_path: Path) -> None:
    lay_out(tmp_path, "import deepspeed\ndeepspeed.initialize(config={'a': 1})")
    (tmp_path / "venv" / "site").mkdir(parents=True)
    (tmp_path / "venv" / "site" / "early.pth").write_text(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import deepspeed\n"
    )
    script = f"import site; site.addsitedir({str(tmp_path / 'venv' / 'site')!r})"
    lay_out(tmp_path, "import deepspeed\ndeepspeed.initialize(config={'a': 1})", sitecustomize__py=script)
    assert observe(tmp_path, f"PYTHONPATH={tmp_path}", sys.executable, "t.py").config() == {"a": 1}


def python(version: str) -> str | None:
    """One of that version, on PATH or of pyenv."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for name in (*map(str, root.glob(f"{version}.*/bin/python")), shutil.which(f"python{version}")):
        if name and subprocess.run([name, "-V"], capture_output=True).returncode == 0:
            return name
    return None


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.9", "3.10", "3.11", "3.12", "3.13", "3.14"])
def test_other_pythons_that_are_here(version: str, tmp_path: Path) -> None:
    found = python(version)
    if found is None:
        pytest.skip(f"no Python {version} here")
    lay_out(tmp_path, "import deepspeed\ndeepspeed.initialize(config={'a': float('inf')})")
    ran = observe(tmp_path, found, "t.py")
    assert (ran.code, ran.config(), ran.report["notes"]) == (0, {"a": "Infinity"}, [])


@pytest.mark.parametrize("name", STANDALONE)
def test_the_hook_stands_alone_in_python_3_9(name: str) -> None:
    path = ROOT / "dsbridge" / "observe" / f"{name}.py"
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    tops = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    names = {(n.module or "") if isinstance(n, ast.ImportFrom) else n.names[0].name for n in tops}
    own = {"hjson", "deepspeed.runtime.config_utils", "sitecustomize"}  # of the program itself
    assert {name.partition(".")[0] for name in names - own} <= sys.stdlib_module_names


def test_a_hook_that_fails_changes_nothing_for_the_program(tmp_path: Path) -> None:
    script = (
        "import deepspeed\nclass Odd(dict):\n    def items(self): raise RuntimeError('odd')\n"
        "print(deepspeed.initialize(config=Odd(a=1))[0].zero_optimization_stage())"
    )
    lay_out(tmp_path, script)
    ran = observe(tmp_path)
    assert (ran.code, ran.out) == (0, "2\n")
    assert any("RuntimeError: odd" in note for note in ran.report["notes"])
    assert "changed nothing for the program" in ran.err
