"""An input as the checks see it: what was written, what it means, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, wraps
from typing import Any, TypeVar

from dsbridge.assumed import ASSUMED
from dsbridge.deepspeed.keys import KeyFinding, judge
from dsbridge.deepspeed.layer import VERIFIED
from dsbridge.diagnostics import Diagnostic, InputError
from dsbridge.explaining import CODES as EXPLAINED
from dsbridge.explaining import Explanation, explain_input
from dsbridge.formats.document import Document
from dsbridge.inputs import Input, installed
from dsbridge.language import Expr, paths_in
from dsbridge.parsing import Parsed, parse_input
from dsbridge.plugins import Registry
from dsbridge.prediction import predict
from dsbridge.provenance import Source
from dsbridge.resolve import Refused
from dsbridge.rules import NOTHING, OverrideRule, applies, numbers
from dsbridge.spec.leaves import leaves
from dsbridge.spec.load import load_file
from dsbridge.stories import Story, engine_values
from dsbridge.subjects.dsfile import DsFile, ds_file
from dsbridge.subjects.left_open import names_open_files, settled, without_a_command
from dsbridge.subjects.lone import Probe, at_fault, probed
from dsbridge.subjects.reading import opened
from dsbridge.subjects.unit import Unit
from dsbridge.trees import lookup
from dsbridge.values import UNSET, Unknown

T = TypeVar("T")


class Subject:
    """One unit, read and resolved when somebody asks. Every part may be missing; a check then stays silent.

    failure: why it could not be read at all. explanation: the prediction; behind a refusal it goes on, so
    that all mistakes are seen at once. strict: the explanation of the files as they are, where `explanation`
    is of the files with comments taken out of their JSON.
    """

    def __init__(self, unit: Unit, known: Registry) -> None:
        self.unit, self.known = unit, known
        self.failure: InputError | None = None
        self.told: tuple[Diagnostic, ...] = ()
        self.known_of: dict[Any, Any] = {}  # what several checks ask (`once`)

    @cached_property
    def input(self) -> Input | None:
        """The input as its framework reads it; a script that a guide does not show is assumed."""
        if self.unit.lone or self.unit.text_only or self.unit.is_spec:
            return self.rendered.input if self.rendered else None
        if self.unit.words and names_open_files(self.unit.command):
            return None
        try:
            found, self.told = opened(self.unit, self.known)
        except InputError as error:
            self.failure = error
            return None
        return found

    @property
    def framework(self) -> str:
        """Its name; "" while nobody knows who reads the config."""
        return self.input.framework.name if self.input else ""

    @property
    def launchers(self) -> tuple[str, ...]:
        """The programs that start the training, outermost first; none for files without a command."""
        if self.input is None or self.input.setup.assumed:
            return ()
        return self.input.setup.launchers

    @property
    def environ(self) -> Mapping[str, str]:
        """The variables that a command sets, or that the files of its launcher say."""
        return self.input.setup.given_environ if self.input else NOTHING

    @cached_property
    def rendered(self) -> Explanation | None:
        """Of a dsbridge.yaml: the prediction of what it is rendered to for the target; without one, only the
        spec itself is looked at."""
        if not self.unit.is_spec:
            return None
        unit = self.unit
        try:
            if unit.target:
                found = predict(unit.given, (), unit.target, unit.facts, unit.versions, files=unit.files)
                predicted = {code.code for code in EXPLAINED} - {ASSUMED.code}
                self.told = tuple(d for d in found.diagnostics if d.code not in predicted)
                return found
            loaded = load_file(unit.files.folder / unit.given[0])
            self.told = tuple(self.known.findings(loaded.spec))
        except InputError as error:
            self.failure = error
        return None

    @cached_property
    def strict(self) -> Explanation | None:
        """The prediction for the files exactly as they are."""
        if self.rendered:
            return self.rendered
        return explain_input(self.input, self.known, onward=True) if self.input else None

    @cached_property
    def explanation(self) -> Explanation | None:
        """The prediction; for JSON with comments, that of the same JSON without them. None where a script or
        a guide leaves open what it depends on."""
        left_open = len(self.stops) < len(self._stops())
        return None if left_open else self._predicted

    @cached_property
    def _predicted(self) -> Explanation | None:
        ds = self.ds
        if not self.input or ds is None or not ds.loose:
            return self.strict
        files = self.unit.files.over({ds.file: ds.plain})
        try:
            found, _ = opened(self.unit._replace(files=files), self.known)
        except InputError:
            return self.strict
        return explain_input(found, self.known, onward=True)

    @cached_property
    def probe(self) -> Probe | None:
        """Of a config that nobody names: what DeepSpeed itself makes of it."""
        return probed(self.unit, self.ds, self.known) if self.unit.lone and self.ds else None

    @cached_property
    def refusals(self) -> tuple[Refused, ...]:
        """Everything that would stop the run, in order, one for each cause: those behind the first that are
        about the same fields follow from it."""
        found: list[Refused] = []
        for refused in self.stops:
            if self._of_the_script(refused) or self._of_its_classes(refused):
                continue
            if not found or self.probe is not None or _new(refused, found):
                found.append(refused)
        return tuple(found)

    @cached_property
    def stops(self) -> tuple[Refused, ...]:
        """Every refusal that is met, those too that may follow from one before. Of a script or a guide, only
        what it does not leave open."""
        if self.unit.words or self.unit.guide:
            trees = self._predicted.trees if self._predicted else {}
            return tuple(settled(self._stops(), trees))
        alone = self.input is not None and self.input.setup.assumed
        return tuple(without_a_command(self._stops()) if alone else self._stops())

    def _stops(self) -> list[Refused]:
        found: list[Refused] = []
        if self.probe is not None and self.ds is not None:
            return at_fault(self.probe.outcome, self.ds)
        predicted, strict = self._predicted, self.strict
        if predicted is not strict and strict and strict.result.refused:
            found.append(strict.result.refused)  # what is behind it follows from what was not read
        if predicted is not None and (outcome := predicted.result).refused is not None:
            found += (outcome.refused, *(() if self.blind else outcome.further))
        return found

    @property
    def blind(self) -> bool:
        """True where a DeepSpeed config is named that is not there: what comes later is not what would
        happen with it."""
        found = self._predicted
        return self.ds is None and found is not None and bool(lookup(found.trees, "dsfile.problem"))

    @property
    def _prepares(self) -> bool:
        """True where the script itself makes the optimizer and calls prepare(), not a Trainer."""
        return self.input is not None and "trainer" not in self.input.reader.layers

    def _of_its_classes(self, refused: Refused) -> bool:
        """A name that TrainingArguments does not have, in a file whose script may have other classes."""
        alone = self.input is not None and self.input.setup.assumed and self.no_script
        return alone and any(path.startswith("parser.") for path in paths_in(refused.rule.when))

    def _of_the_script(self, refused: Refused) -> bool:
        """About what a script makes that nobody shows, or an "auto" that prepare() fills from that. A guide
        shows a part of its scripts."""
        if not ((self.script_assumed or self.unit.guide) and self._prepares):
            return False
        autos = any(self.written(field.removeprefix("ds.")) == "auto" for field in refused.fields)
        return autos or any(path.startswith(_SCRIPT_SAYS) for path in paths_in(refused.rule.when))

    @property
    def no_script(self) -> bool:
        """True where there is no Python file: the classes of its arguments are not known."""
        return self.script_assumed or not self.scripts

    @property
    def script_assumed(self) -> bool:
        """True where nobody shows the training script: what it does is a guess."""
        words = self.input.setup.words.items if self.input else ()
        return words[:1] == (YOUR_SCRIPT,) or any(d.code == ASSUMED.code for d in self.told)

    @cached_property
    def parsed(self) -> Parsed | None:
        """The spec that it says, if it can be parsed."""
        explanation = self.explanation
        if explanation is None:
            return None
        try:
            return parse_input(explanation.input)
        except InputError:
            return None

    @cached_property
    def spec(self) -> Mapping[str, Any]:
        """What the user asks for, by spec path (`zero.stage`); only what is set."""
        return leaves(self.parsed.loaded.spec) if self.parsed else NOTHING

    def spec_at(self, path: str) -> Source | None:
        """Where a field of the spec was read."""
        if self.parsed is None or path not in self.parsed.claims:
            return None
        return self.parsed.loaded.document.at(tuple(path.split(".")))

    @cached_property
    def ds(self) -> DsFile | None:
        """The DeepSpeed config as the user wrote it; None if there is none of its own."""
        return ds_file(self.unit, self.input)

    def assumes(self, tree: str, condition: Expr) -> bool:
        """True where a condition asks for flags (`flags.deepspeed`) that nobody gave: files alone are read
        with the usual command."""
        alone = self.input is not None and self.input.setup.assumed
        return alone and any(path.startswith(tree) for path in paths_in(condition))

    def depends_on_version(self, rule: OverrideRule) -> bool:
        """Whether the oldest releases that were recorded do not stop at this rule, where nobody said which
        ones are used."""
        if not self._oldest:
            return False
        return not applies(rule, {**self.versions, **self._oldest}) or rule.code not in self._oldest_stops

    @cached_property
    def _oldest(self) -> Mapping[str, str]:
        """The oldest recorded releases of the packages whose version is a guess."""
        names = self.input.reader.layers if self.input else ("deepspeed",) if self.unit.lone else ()
        layers = [self.known.layer(name) for name in names if self.rendered is None]
        recorded = {pkg: min(have, key=numbers) for layer in layers for pkg, have in layer.verified.items()}
        return {package: have for package, have in recorded.items() if self.is_guess(package)}

    @cached_property
    def _oldest_stops(self) -> frozenset[str]:
        """The rules at which those stop."""
        unit = self.unit._replace(versions={**self.unit.versions, **self._oldest})
        return frozenset(refused.rule.code for refused in Subject(unit, self.known).stops)

    def is_guess(self, package: str) -> bool:
        """True where nobody said the version, and none is installed: the newest is taken."""
        return package not in self.unit.versions and not installed([package])

    @cached_property
    def key_findings(self) -> tuple[KeyFinding, ...]:
        """What its DeepSpeed makes of the keys of the config, as they are written."""
        if self.probe is not None and self.probe.versions["deepspeed"] == self.version:
            return self.probe.keys
        return judge(self.ds.value, self.version) if self.ds else ()

    @cached_property
    def version(self) -> str:
        """DeepSpeed's."""
        return self.versions.get("deepspeed", VERIFIED[-1])

    @cached_property
    def versions(self) -> Mapping[str, str]:
        """Of every package that takes part: as said, else installed, else the newest recorded."""
        known = self._predicted or self.probe
        return known.versions if known else self.unit.versions

    def fact(self, name: str) -> Any:
        """What only a run knows (world_size, model.num_attention_heads, ...); UNSET while nobody does."""
        facts = self.explanation.facts if self.explanation else self.unit.facts
        value = facts.get(name, UNSET)
        if value is UNSET and name.startswith("model."):
            value = lookup(facts.get("model", {}), name[6:])
        if value is UNSET and self.explanation:
            value = lookup(self.explanation.result.trees, name)
        return UNSET if isinstance(value, Unknown) else value

    def written(self, path: str) -> Any:
        """A value of the DeepSpeed config as the user wrote it, by dotted path; UNSET if it is not there."""
        return lookup(self.ds.value, path) if self.ds else UNSET

    def effective(self, path: str) -> Any:
        """What DeepSpeed's engine gets for a key, defaults included; as written where nobody can know."""
        if self.explanation is None:
            return self.written(path)
        built = engine_values(self.explanation.result).get(path, UNSET)
        if built is not UNSET:
            return UNSET if isinstance(built, Unknown) else built
        engine = self.explanation.engine
        value = lookup(engine if isinstance(engine, Mapping) else self.explanation.config or {}, path)
        return UNSET if isinstance(value, Unknown) else value

    @cached_property
    def stories(self) -> Mapping[str, Story]:
        """The story of every field, by DeepSpeed's key."""
        return {story.path: story for story in self.explanation.fields} if self.explanation else {}

    def tree(self, path: str) -> Any:
        """A value of the input's trees as read (`args.max_grad_norm`, `flags.deepspeed`); UNSET if absent."""
        value = lookup(self.explanation.trees, path) if self.explanation else UNSET
        return UNSET if isinstance(value, Unknown) else value

    def at(self, path: str) -> Source | None:
        """Where a tree's value was written, or the block around it; `ds.` is the DeepSpeed config."""
        if path.startswith("ds.") and self.ds and self.ds.document:
            return self.ds.at(tuple(path[3:].split(".")))
        sources = self.explanation.input.reading.sources if self.explanation else {}
        parts = path.split(".")
        return next(
            (sources[name] for end in range(len(parts), 0, -1) if (name := ".".join(parts[:end])) in sources),
            None,
        )

    def wrote(self, path: str) -> Source | None:
        """Where the user wrote exactly this value of a tree; None for a default, or what was derived."""
        return self.explanation.input.reading.sources.get(path) if self.explanation else None

    def place(self, field: str) -> Source | None:
        """Where a field stands that a rule names, in the DeepSpeed config or in another tree; for a config
        that a framework makes of other settings, where its value was taken from."""
        name = field if field.startswith("ds.") else f"ds.{field}"
        if self.ds and name[3:].partition(".")[0] in self.ds.value:
            return self.at(name)
        story = self.stories.get(name[3:])
        return self.at(field) or (story.source if story else None)

    def refusal(self, *codes: str) -> Refused | None:
        """The refusal by one of these rules, also where another one hides it."""
        return next((refused for refused in self.stops if refused.rule.code in codes), None)

    @cached_property
    def scripts(self) -> str:
        """The text of every Python file that is given or named, for what no reader looks for."""
        if self.input is None:
            return ""
        setup, files = self.input.setup, self.unit.files  # without what was assumed
        names = dict.fromkeys((*setup.given, *setup.words.items, *self.unit.given))
        return "\n".join(files.text(name) for name in names if name.endswith(".py") and files.has(name))

    def file_value(self, name: str) -> Document | None:
        """A given YAML or JSON file as a document; None for another, or one that cannot be read."""
        try:
            if name.endswith((".yaml", ".yml")):
                return self.unit.files.yaml(name)
            return self.unit.files.json(name, comments=True) if name.endswith(".json") else None
        except InputError:
            return None


def once(look: Callable[[Subject], T]) -> Callable[[Subject], T]:
    """A look at a subject that many checks take: the answer is kept with the subject."""

    @wraps(look)
    def kept(subject: Subject) -> T:
        if look not in subject.known_of:
            subject.known_of[look] = look(subject)
        answer: T = subject.known_of[look]
        return answer

    return kept


# what Accelerate's rules call what a script makes and hands to prepare(); the name it has without a script
_SCRIPT_SAYS = ("prepared.", "accelerator.")
YOUR_SCRIPT = "YOUR_SCRIPT"


def _new(refused: Refused, before: list[Refused]) -> bool:
    """Whether it is about other fields than those before; one that names none, or the whole config, may
    follow from them."""
    seen = {field.removeprefix("ds.") for one in before for field in one.fields}
    known = any(one.rule.code == refused.rule.code for one in before)
    own = {field.removeprefix("ds.") for field in refused.fields if field != "ds"}
    return not known and bool(own) and not seen.intersection(own)
