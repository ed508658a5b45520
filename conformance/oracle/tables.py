"""`python -m conformance.oracle.tables`: the installed releases, harvested once more, equal the tables.

Run with an environment's own Python. What it prints is what differs; a release that no table has is told,
too.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import io
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from dsbridge_llamafactory.vocabulary import known
from tools import harvest_accelerate, harvest_transformers, harvest_xtuner_arguments
from tools.tables import fate


def differences(table: Any, found: Any, at: str = "") -> Iterator[str]:
    """Where two trees are not the same, as JSON sees them."""
    if isinstance(table, Mapping) and isinstance(found, Mapping):
        for key in sorted({*table, *found}):
            yield from differences(table.get(key), found.get(key), f"{at}/{key}")
    elif json.dumps(table) != json.dumps(found):
        yield f"{at}: the table has {table!r}, the package {found!r}"


def transformers() -> Iterator[str]:
    """TrainingArguments."""
    return _harvested(harvest_transformers)


def accelerate() -> Iterator[str]:
    """The flags of `accelerate launch` and the keys of its YAML."""
    return _harvested(harvest_accelerate)


def _harvested(harvester: Any) -> Iterator[str]:
    table = json.loads(harvester.TABLE.read_text(encoding="utf-8"))
    found = harvester.harvest()
    if found["version"] not in table["versions"]:
        yield f"{found['version']} is not in {harvester.TABLE.name}: add it, see CONTRIBUTING.md"
        return
    yield from differences(harvester.rebuilt(table, found["version"]), json.loads(json.dumps(found)))


def xtuner() -> Iterator[str]:
    """The flags of `xtuner train` and the keys of its configs."""
    table = json.loads(harvest_xtuner_arguments.OUT.read_text(encoding="utf-8"))
    yield from differences(table, json.loads(json.dumps(harvest_xtuner_arguments.harvest())))


def llamafactory() -> Iterator[str]:
    """What its own HfArgumentParser takes for training; and that it refuses a name it does not know."""
    from llamafactory.hparams import parser as real
    from transformers import HfArgumentParser

    versions = {name: importlib.metadata.version(name) for name in ("llamafactory", "transformers")}
    names = {action.dest for action in HfArgumentParser(real._TRAIN_ARGS)._actions} - {"help"}
    for surface in ("yaml", "flags"):
        vocabulary = known(versions, surface)
        assert vocabulary is not None
        top = {name for block, name in vocabulary.arguments if not block}
        yield from differences(dict.fromkeys(top, "known"), dict.fromkeys(names, "known"), f"/{surface}")
        if vocabulary.unknown[""] != _fate(real, surface):
            yield f"/{surface}: the table says {vocabulary.unknown['']} of an unknown name"


def _fate(real: Any, surface: str) -> str:
    """Asked of LLaMA-Factory's own reading, with a file or with words."""
    given = {
        "model_name_or_path": "m",
        "dataset": "d",
        "template": "default",
        "output_dir": "o",
        "stage": "sft",
    }
    given |= {"do_train": True, "finetuning_type": "lora"}

    def read(more: Mapping[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            words = [word for name, value in (given | more).items() for word in (f"--{name}", str(value))]
            if surface == "yaml":
                path = Path(folder) / "train.yaml"
                path.write_text(yaml.safe_dump(given | dict(more)), encoding="utf-8")
                words = [str(path)]
            sys.argv = ["train", *words]
            with contextlib.redirect_stdout(io.StringIO()):  # its whole help
                real._parse_train_args()

    return fate(read, {}, {"no_such_name": 1})


CHECKS: Mapping[str, Callable[[], Iterator[str]]] = {
    "transformers": transformers,
    "accelerate": accelerate,
    "llamafactory": llamafactory,
    "xtuner": xtuner,
}


def main() -> int:
    """Compare what is installed; exit code 1 if something differs."""
    wrong = 0
    for package, check in CHECKS.items():
        if importlib.util.find_spec(package) is None:
            continue
        found = list(check())
        wrong += len(found)
        print(
            f"{package} {importlib.metadata.version(package)}:", *(found or ["as the table says"]), sep="\n  "
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
