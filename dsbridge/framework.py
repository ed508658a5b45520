"""What a plugin hands over: a Framework, which renders a request into files and a launch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from dsbridge.diagnostics import Code, Diagnostic
from dsbridge.version import __version__

if TYPE_CHECKING:  # reading is imported by the commands that read, a spec by those that render
    from dsbridge.reading import Reader, Reading, Setup
    from dsbridge.spec import ParallelSpec
    from dsbridge.vocabulary import Vocabulary, Written


class Base(NamedTuple):
    """The user's own file, to be edited instead of written anew. Text only; never executed."""

    name: str
    text: str


class RenderRequest(NamedTuple):
    """What a framework renders: the spec, its values by path, and perhaps the user's own file.

    `values` holds what is set, AUTO included, and the micro batch and accumulation that follow from the
    rest of the batch.
    """

    target: str
    spec: ParallelSpec
    values: Mapping[str, Any]
    base: Base | None = None

    def own(self) -> dict[str, Any]:
        """`frameworks.<target>`: keys that are this framework's alone."""
        frameworks = self.spec.frameworks
        return dict(frameworks.get(self.target, {})) if isinstance(frameworks, dict) else {}

    def header(self) -> str:
        """The line that every artifact starts with where its format allows comments."""
        return (
            f"Written by dsbridge {__version__} for {self.target} from spec "
            f"{spec_hash(self.spec)}. Edit the spec, not this file."
        )


class Launch(NamedTuple):
    """How the run is started: environment, words, and the same as a bash script."""

    env: Mapping[str, str] = MappingProxyType({})
    argv: tuple[str, ...] = ()
    script: str = ""


class Rendered(NamedTuple):
    """Files by name. `claimed` holds the spec paths the framework has dealt with, in whatever way."""

    files: Mapping[str, str]
    launch: Launch
    claimed: frozenset[str]
    diagnostics: tuple[Diagnostic, ...] = ()


class Framework(NamedTuple):
    """A target. `requires` maps distributions to the versions it is verified with (PEP 440).

    reader: gives how its files and commands are read and resolved; None if it can only be rendered.
    arguments: for one that stands on TrainingArguments, the names of those it takes, by version.
    fsdp: whether it can shard with FSDP; what migrates to one that cannot becomes ZeRO.
    decides: gives the keys of its own that decide what is trained (data, template), with their defaults: two
    inputs that differ in one do not train the same.
    deepspeed_builds: whether DeepSpeed may build optimizer and scheduler from blocks of its config.
    vocabulary: for installed versions and a surface, the names that may be written there, those that other
    versions have, and what becomes of one that nobody has; None for a surface that it does not know.
    surfaces: the names of those that are always there; `vocabulary` may know more (a class of TRL's).
    written: the names that an input has, each with its surface and place.
    starts: gives for every kind of launch the reason why it cannot start this framework, "" where it can.
    program: gives what a node runs (`dsbridge.sdk.Start`) for the user's own files; None if only rendered
    specs can be launched.
    """

    name: str
    title: str
    render: Callable[[RenderRequest], Rendered]
    package: str
    requires: Mapping[str, str]
    codes: tuple[Code, ...] = ()
    reader: Callable[[], Reader] | None = None
    arguments: Callable[[Mapping[str, str]], frozenset[str]] | None = None
    fsdp: bool = True
    decides: Callable[[], Mapping[str, Any]] | None = None
    deepspeed_builds: bool = True
    vocabulary: Callable[[Mapping[str, str], str], Vocabulary | None] | None = None
    surfaces: tuple[str, ...] = ()
    written: Callable[[Setup, Reading], Iterable[Written]] | None = None
    starts: Callable[[], Mapping[str, str]] | None = None
    program: Callable[[RenderRequest, Setup], Any] | None = None


def spec_hash(spec: ParallelSpec) -> str:
    """Twelve hex digits of SHA-256 over the canonical JSON: equal for specs that say the same."""
    import hashlib

    from dsbridge.spec.leaves import to_mapping

    text = json.dumps(to_mapping(spec), sort_keys=True, separators=(",", ":"), default=str)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:12]}"
