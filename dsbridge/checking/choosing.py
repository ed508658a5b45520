"""Which findings the user wants to hear: settings, options and comments."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from dsbridge.checking.comments import Ignores, ignores_in
from dsbridge.checking.running import Report
from dsbridge.checking.settings import Settings, settings_for, unknown_codes
from dsbridge.diagnostics import Diagnostic, InputError
from dsbridge.reading import COMMAND, Files


class Choice:
    """What is asked for, by file: its settings, with what the command line puts in their place.

    first: the file whose settings hold for all that is in no file. known: gives every code that there is.
    select, ignore: of the command line; None leaves it to the settings.

    Raises:
        InputError: a settings file that cannot be used, or a code that nobody has.
    """

    def __init__(
        self,
        first: str,
        known: Callable[[], Iterable[str]],
        select: tuple[str, ...] | None = None,
        ignore: tuple[str, ...] | None = None,
    ) -> None:
        self.first, self.select, self.ignore = first, select, ignore
        self.known = cache(lambda: tuple(known()))
        self.settings = cache(self._settings)
        self._hold((*(select or ()), *(ignore or ())), COMMAND)
        self.settings(first)

    @property
    def base(self) -> Settings:
        """Of the first file, or of the folder that the command runs in."""
        return self.settings(self.first)

    def _settings(self, file: str) -> Settings:
        found = settings_for(file)
        self._hold(found.codes(), found.file)
        if self.select is not None:
            found = found._replace(select=self.select)
        return found._replace(ignore=self.ignore) if self.ignore is not None else found

    def _hold(self, codes: Iterable[str], where: str) -> None:
        """Codes that somebody wrote to those that there are; nobody is asked for them without need."""
        said = tuple(codes)
        wrong = unknown_codes(said, self.known(), where) if said else ()
        if wrong:
            raise InputError(wrong)

    def excludes(self, name: str) -> bool:
        """Whether a file that a folder holds is left out."""
        return self.settings(name).excludes(name)

    def wanted(self, findings: Iterable[Diagnostic], files: Files) -> Iterable[Diagnostic]:
        """Without what the user does not want to hear, with the severities that the project gives."""
        ignores = cache(lambda name: _ignores(files, name))
        for finding in findings:
            place = finding.file if finding.file and finding.file != COMMAND else ""
            settings = self.settings(place or self.first)
            if not settings.silences(finding) and not (place and ignores(place).silences(finding)):
                yield settings.weighed(finding)

    def of(self, report: Report, files: Files) -> Report:
        """The report with only those."""
        return report._replace(findings=tuple(self.wanted(report.findings, files)))


def _ignores(files: Files, name: str) -> Ignores:
    try:
        return ignores_in(files.text(name))
    except InputError:
        return Ignores()
