"""Every file of a landing with its layout, and with the styles in which its dates and numbers are written.

``files`` tells what one file looks like, ``shapes`` what its values allow; here both are put together over all files of a table, and it is
remembered what was told of files that are not read again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import duckdb

from churn_pipeline.contract import amounts, moments, shapes
from churn_pipeline.contract.declaration import TableContract
from churn_pipeline.contract.dialects import SPOKEN_ENCODINGS, Scratch
from churn_pipeline.contract.files import Layout, RawFile, first_unreadable, layout, unreadable
from churn_pipeline.contract.problems import Problem, UnusableError
from churn_pipeline.contract.source import TableSource
from churn_pipeline.core.json_text import json_text


@dataclass
class _Table:
    """What is known of the files of one table, by name.

    Attributes:
        seen: what their values allow; None: they are written as the contract has it.
        before: the styles in which unchanged files were read.
    """

    files: dict[str, RawFile] = field(default_factory=dict)
    seen: dict[str, dict[str, shapes.Written] | None] = field(default_factory=dict)
    before: dict[str, dict[str, str]] = field(default_factory=dict)
    styles: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass
class Recognition:
    """The layouts of one landing.

    Attributes:
        con: a connection with the macros of the landing, beside its transaction: a file that cannot be read would doom that.
    """

    con: duckdb.DuckDBPyConnection
    timezone: str
    sources: Mapping[str, TableSource]
    scratch: Scratch
    _bare: dict[tuple[str, RawFile], Layout] = field(default_factory=dict)
    _tables: dict[str, _Table] = field(default_factory=dict)

    def recognise(
        self,
        table: TableContract,
        files: Iterable[RawFile],
        fresh: Iterable[RawFile],
        stored: Mapping[str, tuple[str | None, str | None]],
    ) -> list[Problem]:
        """Looks at the files that are new or have changed, and decides how each file of the table is read.

        Args:
            fresh: the files whose content was not landed.
            stored: by name of an unchanged file, what ``remembered`` gave for it.

        Returns:
            all that is wrong with them.
        """
        known = self._tables[table.name] = _Table({file.name: file for file in files})
        changed = {file.name for file in fresh}
        problems: list[Problem] = []
        groups: dict[Layout, list[RawFile]] = {}
        for name, file in known.files.items():
            if name in changed or name not in stored:
                try:
                    groups.setdefault(self._layout(table, file), []).append(file)
                except UnusableError as error:
                    problems += error.problems
            else:
                allowed, styles = stored[name]
                known.seen[name] = shapes.from_json(allowed)
                known.before[name] = json.loads(styles) if styles else {}
        if problems:
            return problems
        for group, members in groups.items():
            try:
                plain = shapes.is_plain(self.con, table, group, members, self.timezone)
            except duckdb.Error:
                # One of them is damaged, and to look at each tells which.
                plain = False
            for file in members:
                try:
                    known.seen[file.name] = None if plain else self._look(table, file)
                except UnusableError as error:
                    problems += error.problems
        if problems:
            return problems
        return self._decide(table)

    def layout(self, table: TableContract, file: RawFile) -> Layout:
        """How a file is read."""
        return self._layout(table, file).styled(self._tables[table.name].styles.get(file.name, {}))

    def look_again(self, table: TableContract, names: Iterable[str]) -> bool:
        """After values in these files could not be read: whether they can be in another style.

        Raises:
            UnusableError: the style cannot be decided.
        """
        known = self._tables[table.name]
        unseen = [name for name in names if name in known.files and known.seen[name] is None]
        if not unseen:
            return False
        before = known.styles
        for name in unseen:
            known.seen[name] = self._look(table, known.files[name])
        if problems := self._decide(table):
            raise UnusableError(problems)
        return known.styles != before

    def reason(self, table: TableContract) -> str:
        """Why files that were landed have to be read anew; empty if there is no reason."""
        known = self._tables[table.name]
        for name, styles in known.before.items():
            if styles != known.styles.get(name, {}):
                return f"other files tell how {name} is written"
        return ""

    def remembered(self, table: TableContract, name: str) -> tuple[str | None, str | None]:
        """What to keep beside a landed file: what its values allow, and the styles in which it was read."""
        known = self._tables[table.name]
        styles = known.styles.get(name)
        return shapes.to_json(known.seen.get(name)), json_text(dict(sorted(styles.items()))) if styles else None

    def notices(self) -> list[str]:
        """One sentence for each table whose files, read in this landing, are not written as the contract has it."""
        sentences = []
        for table_name, known in self._tables.items():
            kinds: dict[str, list[str]] = {}
            for name, file in known.files.items():
                bare = self._bare.get((table_name, file))
                if bare is not None and (ways := _ways(bare, known.styles.get(name, {}))):
                    kinds.setdefault(ways, []).append(name)
            if kinds:
                told = [f"{_listed(names)} with {ways}" for ways, names in kinds.items()]
                sentences.append(f"{table_name} is read from {'; from '.join(told)}")
        return sentences

    def _layout(self, table: TableContract, file: RawFile) -> Layout:
        key = (table.name, file)
        if key not in self._bare:
            self._bare[key] = layout(self.con, table, file, self.sources.get(table.name), self.scratch)
        return self._bare[key]

    def _look(self, table: TableContract, file: RawFile) -> dict[str, shapes.Written]:
        """What all values of a file allow.

        Raises:
            UnusableError: it cannot be read.
        """
        bare = self._layout(table, file)
        try:
            return shapes.look(self.con, table, bare, file, self.timezone)
        except duckdb.Error as error:
            fault = first_unreadable(table, {bare: [file]}) or unreadable(table, file, error, bare)
            raise UnusableError([fault]) from error

    def _decide(self, table: TableContract) -> list[Problem]:
        known = self._tables[table.name]
        decision = shapes.decide(table, known.seen)
        if decision.styles or decision.problems:
            # What one file leaves open, another may tell, be it one that is written as the contract has it.
            for name, allowed in known.seen.items():
                if allowed is None:
                    known.seen[name] = self._look(table, known.files[name])
            decision = shapes.decide(table, known.seen)
        known.styles = decision.styles
        return list(decision.problems)


def _ways(bare: Layout, styles: Mapping[str, str]) -> str:
    """How a file differs from what the contract has, in words; empty where it does not."""
    ways = []
    written = bare.dialect
    if bare.format == "csv":
        if written.delimiter != ",":
            ways.append(f"{'tabs' if written.delimiter == chr(9) else repr(written.delimiter)} between columns")
        if written.quote != '"':
            ways.append("single quotes around values")
        if written.encoding != "utf-8":
            ways.append(f"letters as {SPOKEN_ENCODINGS.get(written.encoding, written.encoding)}")
    commas = [name for name, style in styles.items() if style == amounts.COMMA]
    points = [name for name, style in styles.items() if style == amounts.POINT]
    if commas:
        ways.append(f"',' as the decimal sign of {', '.join(commas)}")
    if points:
        ways.append(f"'.' as the decimal sign of {', '.join(points)}")
    ways += [f"{name} as {moments.spoken(style)}" for name, style in styles.items() if style not in amounts.STYLES]
    return ", ".join(ways)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1:,} more file(s)"
