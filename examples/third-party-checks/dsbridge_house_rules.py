"""What our cluster does not want: a wall clock breakdown in every log."""

from dsbridge.sdk import Check, Code, Edit, Example, Fix, Severity, hookimpl

CHATTY = Code("HR001", "chatty-log", Severity.WARNING, "The log gets a wall clock breakdown at every step.")
KEY = "wall_clock_breakdown"


def run(subject):
    """Look at the config as it is written, say what is there, and where."""
    if subject.written(KEY) is not True:
        return
    fix = None
    if subject.ds.document:  # a file; a dict in a script is not edited
        fix = Fix(f"write `{KEY}: false`", (Edit(subject.ds.file, (KEY,), "set", False),))
    message = f"`{KEY}` is on: a line for every step, on every rank"
    hint = "Leave it to profiling runs."
    yield CHATTY(message, hint=hint, key=KEY, at=subject.at(f"ds.{KEY}"), fix=fix)


@hookimpl
def dsbridge_checks():
    """One check, with the example that it fires on and the nearest one that it must leave alone."""
    ds = '{"zero_optimization": {"stage": 2}, "wall_clock_breakdown": %s}'
    return (
        Check(
            code=CHATTY,
            run=run,
            why="Logs of a week are too large for our disk.",
            hint="Leave it to profiling runs.",
            fires=Example({"ds.json": ds % "true"}),
            holds=Example({"ds.json": ds % "false"}),
        ),
    )
