"""Every command of the CLI, taken from the CLI itself, each run in a process of its own by a driver that has imported what they need.

As a program it prints what became of each; see ``main``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import typer

from churn_pipeline.cli import commands

# What a command needs that has to be something that is there. Whatever else a new command asks for gets a word.
_VALUES = {
    "target": "churn_90d",
    "version": "1",
    "customer_id": "C0000001",
    "wanted": "C0000001",
    "first": "MONDAY",
    "week": "MONDAY",
    "out": "FOLDER/out",
    "folder": "FOLDER",
}
# What is to be given although it need not be: without it a command does nothing, asks, or says that it was not told enough.
_BESIDES = {
    "run": ["--week", "MONDAY"],
    "train": ["--week", "MONDAY"],
    "check": ["FOLDER"],
    "simulate": ["--customers", "50", "--weeks", "8"],
    "forget": ["C0000001", "--yes"],
    "rollback": ["--reason", "a test"],
    "promote": ["--reason", "a test"],
    "serve": ["--port", "0"],
}
_SECONDS = 100
# What goes on until somebody stops it is stopped, as a service manager does, after so many seconds.
_STOPPED_AFTER = {"serve": 3}


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what a person saw of it."""

    command: str
    exit_code: int
    out: str
    err: str


def every_command() -> dict[str, Any]:
    """Each command by its words, such as ``slack send``."""

    def below(group: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from below(command, (*words, name))
            else:
                yield " ".join((*words, name)), command

    return dict(below(typer.main.get_command(commands.app), ()))


def those_with_a_place() -> list[str]:
    """The commands that are given a home or another folder to work in."""
    return [
        name for name, command in every_command().items() if {"home", "out"} & {param.name for param in command.params}
    ]


def arguments(name: str, home: str, folder: str, monday: str) -> list[str]:
    """What to give to a command so that it begins with what it is for."""
    given: list[str] = []
    for parameter in every_command()[name].params:
        value = _VALUES.get(parameter.name, "x")
        if parameter.name == "home":
            given += ["--home", home]
        elif parameter.required:
            given += [value] if parameter.param_type_name == "argument" else [parameter.opts[0], value]
    given += _BESIDES.get(name, [])
    return [*name.split(), *(word.replace("MONDAY", monday).replace("FOLDER", folder) for word in given)]


def run(name: str, words: list[str], injected: str | None) -> Ended:
    """Runs a command to its end in a process of its own.

    Args:
        name: of the command.
        words: its arguments.
        injected: the text of an error that is raised where the command reads its settings, instead of reading them.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if not child:
            try:
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                # One that waits for somebody is no answer either.
                signal.alarm(_STOPPED_AFTER.get(name, _SECONDS))
                if name in _STOPPED_AFTER:
                    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
                sys.argv = ["churn", *words]
                if injected is not None:
                    _inject(injected)
                # It starts another program, which is looked at elsewhere.
                os.execv = lambda *_: os._exit(0)  # type: ignore[assignment]
                commands.main()
            finally:
                os._exit(99)
        _, status = os.waitpid(child, 0)
        out.seek(0)
        err.seek(0)
        return Ended(name, os.waitstatus_to_exitcode(status), out.read().decode(), err.read().decode())


def _inject(text: str) -> None:
    from churn_pipeline.core.settings import Settings

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(text)

    Settings.__init__ = broken  # type: ignore[method-assign]


def main() -> None:
    """Runs commands, and prints as JSON how each ended, by home. Arguments: a Monday and one home or more, to run those commands on that are
    given a place; or a Monday, a home and the text of an error after ``--raise``, to raise it in every command there is."""
    monday, *homes = sys.argv[1:]
    text = None
    if "--raise" in homes:
        *homes, _, text = homes
        import churn_pipeline.core.settings
    else:
        import churn_pipeline.orchestration.definitions
        import churn_pipeline.orchestration.execute  # noqa: F401
    names = those_with_a_place() if text is None else every_command()
    ends = {
        home: [asdict(run(name, arguments(name, home, f"{home}/exports", monday), text)) for name in names]
        for home in homes
    }
    sys.stdout.write(json.dumps(ends))


if __name__ == "__main__":
    main()
