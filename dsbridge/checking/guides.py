"""The inputs that stand in a text: the code blocks and commands of a guide, the commands of a script.

A guide shows parts: what it leaves out is not missed, and a name to be filled in is not a wrong one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from dsbridge.checking.kinds import is_ours
from dsbridge.formats.markdown import Block, inline_code, read_markdown
from dsbridge.formats.shell import Command, commands_of
from dsbridge.plugins import registry
from dsbridge.subjects.dsfile import is_ds_config, read_plain, without_comments
from dsbridge.subjects.unit import Unit

_SUFFIX = {"yaml": ".yaml", "json": ".json", "python": ".py"}
_ELLIPSIS = re.compile(r"\.\.\.+|…")
# launchers that start anything: what they start must say that it is a training of ours
_ANYTHING = frozenset(("torchrun", "python", "srun"))
_SIGNS = (
    "--deepspeed", "--deepspeed_config", "--use_deepspeed", "--finetuning_type", "--zero_stage", "--fsdp",
    "--per_device_train_batch_size", "--deepspeed_config_file",
)  # fmt: skip
# what may stand before the program
_BEFORE = re.compile(r"[A-Za-z_]\w*=|(?:exec|nohup|time|sudo|env)$")


def guide_units(base: Unit, name: str, text: str) -> list[Unit]:
    """The units of a guide: its text, each command, and each block that no command names."""
    blocks = [block for block in read_markdown(text) if block.language in (*_SUFFIX, "bash")]
    if not blocks and not _is_markdown(text):
        return _of_bare_text(base, name, text)
    texts: dict[str, str] = {}
    indents: dict[str, int] = {}
    parts: list[str] = []
    for block in blocks:
        if block.language == "bash":
            continue
        key = f"{name}:{block.line}{_SUFFIX[block.language]}"
        if block.name and block.name not in texts:
            key = block.name
        texts[key], part = _completed(block)
        indents[key] = block.indent
        parts += [key] if part else []
    guide = base._replace(files=base.files.over(texts), guide=name, blocks=indents)
    commands = [
        command
        for block in blocks
        if block.language == "bash"
        for command in commands_of(block.text, name, block.line)
    ]
    units = [guide._replace(spans=tuple(inline_code(text)), commands=tuple(commands), given=(name,))]
    units = [unit for unit in units if unit.text_only]
    started = list(_started(guide, commands))
    named = {word.removeprefix("./") for unit in started for word in unit.command}
    units += started
    for key in texts:
        if key not in named:
            units += _block(guide, key, texts[key], part=key in parts)
    return units


def _is_markdown(text: str) -> bool:
    return "```" in text or "~~~" in text


def _of_bare_text(base: Unit, name: str, text: str) -> list[Unit]:
    """A text without fences: one config or program, or the commands of a chat answer."""
    inner = "stdin" if name == "-" else name  # a name that begins with a dash would be read as an option
    stripped = text.lstrip()
    if stripped.startswith(("{", '"')):
        block = Block("json", text, 1)
        completed, part = _completed(block)
        guide = base._replace(files=base.files.over({f"{inner}.json": completed}), guide=name)
        return _block(guide._replace(blocks={f"{inner}.json": 0}), f"{inner}.json", completed, part=part)
    suffix = ".py" if re.search(r"^(?:from|import) \w", text, re.MULTILINE) else ".yaml"
    if re.search(r"^(?:from|import) \w|^\w+:( |$)", text, re.MULTILINE):
        files = base.files.over({f"{inner}{suffix}": text})
        return [
            base._replace(
                files=files, given=(f"{inner}{suffix}",), guide=name, blocks={f"{inner}{suffix}": 0}
            )
        ]
    return shell_units(base._replace(guide=name), name, text)


def shell_units(base: Unit, name: str, text: str) -> list[Unit]:
    """The script as a text, and each command in it that starts a training."""
    commands = list(commands_of(text, name))
    started = list(_started(base._replace(files=base.files.near([name])), commands))
    return [base._replace(commands=tuple(commands), given=(name,)), *started] if started else []


def _started(base: Unit, commands: Sequence[Command]) -> Iterator[Unit]:
    """The commands that start a training."""
    launchers = registry().launchers()
    for command in commands:
        start = next((i for i, word in enumerate(command.words) if not _BEFORE.match(word)), 0)
        words = command.words[start:]
        launcher = next((one for one in launchers if words and one.matches(words)), None)
        if launcher is None:
            continue
        flags = {word.partition("=")[0] for word in words}
        if launcher.name in _ANYTHING and not flags.intersection(_SIGNS) and not _starts_ours(words):
            continue
        front = [
            i for i in range(start) if "=" in command.words[i]
        ]  # assignments, without `exec` and `nohup`
        yield base._replace(
            command=(*(command.words[i] for i in front), *words),
            words=(*(command.places[i] for i in front), *command.places[start:]),
        )


def _starts_ours(words: Sequence[str]) -> bool:
    return any(word in ("llamafactory-cli", "xtuner", "accelerate") for word in words)


def _completed(block: Block) -> tuple[str, bool]:
    """The block's text with its lines where they are in the guide, and whether it shows a part only.

    A part of a JSON file, as guides show it (no outer braces, `...` for the rest), is made whole.
    """
    if block.language != "json":
        return block.placed, False
    text = block.text
    part = bool(_ELLIPSIS.search(without_comments(text)))
    if part:
        text = without_comments(_ELLIPSIS.sub(lambda m: " " * len(m[0]), without_comments(text)))
    if text.lstrip().startswith('"'):
        return "\n" * max(block.line - 2, 0) + ("{\n" if block.line > 1 else "{") + text + "}", True
    return "\n" * (block.line - 1) + text, part


def _block(guide: Unit, key: str, text: str, *, part: bool) -> list[Unit]:
    """A block by itself."""
    if key.endswith(".json"):
        document = read_plain(text, key)
        value = document.value if document else None
        if isinstance(value, dict) and is_ds_config(value, part=True):
            return [guide._replace(given=(key,), lone=True, part=part)]
    return [guide._replace(given=(key,))] if is_ours(guide, key) else []
