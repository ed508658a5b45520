"""The first thing that every Python of an observed run loads: this folder is put first on PYTHONPATH.

It steps aside at once, so that the program's own `sitecustomize` is found as if this one were not there, and
waits for `deepspeed` to be imported. What looks at DeepSpeed is loaded only then, by path and under private
names: the program's Python may be another version (3.9 and later), and need not have dsbridge.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))


def load(name: str) -> Any:
    """A module of the folder above, outside of every package."""
    from importlib.machinery import SourceFileLoader

    path, private = os.path.join(os.path.dirname(HERE), name + ".py"), "_dsbridge_observe_" + name
    if private not in sys.modules:
        loader = SourceFileLoader(private, path)
        module = type(sys)(private)
        module.__file__, module.__loader__ = path, loader
        sys.modules[private] = module
        try:
            loader.exec_module(module)
        except BaseException:
            del sys.modules[private]
            raise
    return sys.modules[private]


def recorder(folder: str) -> Any:
    """The one recorder of this process."""
    return load("recorder").recorder(folder, load("calls"), load("engine"))


def watch(folder: str) -> None:
    """Leave a mark that this Python was here, and wait for DeepSpeed."""
    import atexit

    os.close(os.open(os.path.join(folder, f"python-{os.getpid()}"), os.O_CREAT | os.O_WRONLY, 0o600))
    hooks: dict[str, Callable[[Any], None]] = {
        "deepspeed": lambda module: safely(folder, lambda: recorder(folder).watch(module)),
        "deepspeed.runtime.engine": lambda module: safely(
            folder, lambda: recorder(folder).constructor(module)
        ),
    }
    load("after_import").install(hooks)
    for name, hook in hooks.items():  # a .pth file may have imported it already
        if name in sys.modules:
            hook(sys.modules[name])

    def ended() -> None:
        if getattr(sys, "last_value", None) is not None:
            safely(folder, lambda: recorder(folder).ended(sys.last_value))

    atexit.register(ended)


def safely(folder: str, action: Callable[[], None]) -> None:
    """Nothing that goes wrong here may reach the program; the report will name it."""
    try:
        action()
    except Exception as problem:
        try:
            with open(os.path.join(folder, f"broken-{os.getpid()}"), "w") as file:
                file.write(f"{type(problem).__name__}: {problem}")
        except OSError:
            pass


def start() -> None:
    """Watch, where an observed run says so."""
    folder = os.environ.get("DSBRIDGE_OBSERVE", "")
    if folder and os.path.isdir(folder):
        safely(folder, lambda: watch(folder))


sys.path[:] = [entry for entry in sys.path if entry != HERE]
sys.path_importer_cache.pop(HERE, None)
sys.modules.pop("sitecustomize", None)
start()

import sitecustomize  # type: ignore[import-not-found]  # noqa: E402, F401 - the program's own, or site's silence
