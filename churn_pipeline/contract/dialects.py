"""How a text file is written: compression, encoding, and what stands between, around and behind the values of a CSV.

All of it is told from the bytes of the file. A file that DuckDB's reader cannot take as it is, is copied in UTF-8 into a private folder
that lives as long as the landing. What is wrong with a file is told by its line and its fault, never by its content.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import json
import re
import tempfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Literal

Compression = Literal["none", "gzip", "zstd"]
_COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd"}
_BLOCK_BYTES = 1 << 20
_HEAD_BYTES = 1 << 18
_TAIL_BYTES = 1 << 16
_SAMPLE_ROWS = 200
DELIMITERS = (",", ";", "\t", "|")
_DELIMITER_NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_HIGH = re.compile(rb"[\x80-\xff]")
# Between these Windows-1252 has letters and signs where Latin-1 has controls; five of them it has not either.
_WINDOWS_ONLY = re.compile(rb"[\x80-\x9f]")
_NOT_WINDOWS = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
SPOKEN_ENCODINGS = {
    "utf-8": "UTF-8",
    "cp1252": "Windows-1252",
    "latin-1": "Latin-1",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
}


class FaultError(Exception):
    """What is wrong with a file.

    Attributes:
        what: the fault as a clause, without anything of the file's content.
        line: the line at which it begins, from 1, where there is one.
        remedy: what to do about it, as a clause.
    """

    def __init__(self, what: str, line: int | None = None, remedy: str = "") -> None:
        super().__init__(what)
        self.what, self.line, self.remedy = what, line, remedy


@dataclass(frozen=True)
class Dialect:
    """How a CSV is written.

    Attributes:
        skipped_lines: lines before the header: Excel's ``sep=;``.
        encoding: what the bytes of the file are, by Python's name.
        is_copied: whether the file has to be read from a copy in UTF-8.
    """

    delimiter: str = ","
    quote: str = '"'
    escape: str = '"'
    skipped_lines: int = 0
    encoding: str = "utf-8"
    is_copied: bool = False

    @property
    def reader_encoding(self) -> str:
        """The encoding in which DuckDB reads the file or its copy."""
        return "utf-8" if self.is_copied or self.encoding == "utf-8" else "latin-1"

    def rows(self, lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
        """Every row that is not blank, with the line on which it begins.

        Raises:
            FaultError: a quote is wrong.
        """
        reader = csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quote,
            doublequote=self.escape == self.quote,
            escapechar=None if self.escape == self.quote else self.escape,
            strict=True,
        )
        while True:
            start = reader.line_num + 1
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise FaultError(_quote_fault(str(error)), start + self.skipped_lines, _QUOTE_REMEDY) from None
            if row:
                yield start + self.skipped_lines, row


PLAIN = Dialect()
_QUOTE_REMEDY = "write a quote inside of a quoted value twice, or export the file again"


def _quote_fault(message: str) -> str:
    if "expected after" in message:
        return (
            "a quote that opens in the row that begins here is not closed, or another stands inside of a quoted value"
        )
    if "new-line character" in message:
        return "a carriage return stands inside of a value without quotes"
    return "a quote that opens in the row that begins here is never closed"


@dataclass(frozen=True)
class Survey:
    """What one pass over the bytes of a file tells.

    Attributes:
        head: its first lines, whole ones unless it has but one.
        last_line: what stands behind the last end of a line; empty where the file ends with one.
        is_empty: nothing is in it.
    """

    encoding: str
    needs_copy: bool
    head: str
    last_line: str
    is_empty: bool


class Scratch:
    """A private folder for copies, made when the first one is wanted and removed at the end."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._copies = 0

    def __enter__(self) -> Scratch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def copy(self, path: Path, encoding: str) -> Path:
        """A copy of a text file in UTF-8, without compression.

        Raises:
            FaultError: its bytes are not what the encoding says.
        """
        if self._folder is None:
            # mkdtemp makes it for its owner alone.
            self._folder = tempfile.TemporaryDirectory(prefix="churn-")
        self._copies += 1
        copied = Path(self._folder.name) / f"{self._copies}.csv"
        # DuckDB's reader wants one kind of line ends in a file.
        ends = io.IncrementalNewlineDecoder(None, translate=True)
        with copied.open("w", encoding="utf-8", newline="") as stream:
            for block in _text(path, encoding):
                stream.write(ends.decode(block))
            stream.write(ends.decode("", final=True))
        return copied


def compression(path: Path) -> Compression:
    return _COMPRESSIONS.get(path.suffix.lower(), "none")


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file without their compression.

    Raises:
        FaultError: the compressed data are damaged or cut short.
    """
    packed = compression(path)
    try:
        if packed == "gzip":
            import gzip

            with gzip.open(path, "rb") as stream:
                yield stream  # type: ignore[misc]
        elif packed == "zstd":
            import pyarrow as pa

            with pa.input_stream(str(path), compression="zstd") as stream:
                yield stream
        else:
            with path.open("rb") as stream:
                yield stream
    except (EOFError, OSError, zlib.error) as error:
        if packed == "none":
            raise
        raise FaultError(
            "the compressed data are damaged or cut short", None, "wait for the export to finish, or export it again"
        ) from error


def _blocks(path: Path) -> Iterator[bytes]:
    with _opened(path) as stream:
        while block := stream.read(_BLOCK_BYTES):
            yield block


def _text(path: Path, encoding: str) -> Iterator[str]:
    """The text of a file, without the mark at its beginning.

    Raises:
        FaultError: a byte is not what the encoding says.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    line, is_first = 1, True
    for block in itertools.chain(_blocks(path), (b"",)):
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            line += error.object[: error.start].count(b"\n")
            name = SPOKEN_ENCODINGS.get(encoding, encoding)
            remedy = "set the encoding of the table in sources.yml, or export the file again as UTF-8"
            raise FaultError(f"a byte on this line is no {name}", line, remedy) from None
        line += text.count("\n")
        if is_first and text:
            text, is_first = text.removeprefix("\ufeff"), False
        yield text


def survey(path: Path, encoding: str = "") -> Survey:
    """Looks at every byte of a text file once.

    Args:
        encoding: what the file is said to be in; empty: found out.

    Raises:
        FaultError: it is compressed and damaged, is UTF-8 with damaged letters, or is not in the encoding that was named.
    """
    head, tail, size = b"", b"", 0
    is_utf8 = True
    decoder = codecs.getincrementaldecoder("utf-8")()
    pending = False
    both_ends = line_ends = 0
    last = b""
    for block in _blocks(path):
        if size < _HEAD_BYTES:
            head += block[: _HEAD_BYTES - size]
        size += len(block)
        tail = (tail + block)[-_TAIL_BYTES:]
        if b"\r" in block or last == b"\r":
            both_ends += (last + block).count(b"\r\n")
        line_ends += block.count(b"\n")
        last = block[-1:]
        # Nearly everything is ASCII, and to ask for that costs next to nothing.
        if is_utf8 and (pending or not block.isascii()):
            try:
                decoder.decode(block)
                pending = bool(decoder.getstate()[0])
            except UnicodeDecodeError:
                is_utf8 = False
    if not size:
        return Survey("utf-8", False, "", "", True)
    name = _named(encoding) or _marked(head) or ("utf-8" if is_utf8 and not pending else _eight_bit(path))
    if name == "utf-8" and not (is_utf8 and not pending):
        for _ in _text(path, "utf-8"):
            pass
    # DuckDB reads Latin-1, which is Windows-1252 but for the signs that only that has, and takes no controls of it. Of UTF-16 it reads
    # one of two orders, and no row at all of the other.
    needs_copy = name != "utf-8" or 0 < both_ends < line_ends
    if name in ("cp1252", "latin-1") and not any(_WINDOWS_ONLY.search(block) for block in _blocks(path)):
        needs_copy = 0 < both_ends < line_ends
    return Survey(name, needs_copy, _head(head, name, size), _last_line(tail, name), False)


def _named(encoding: str) -> str:
    """Python's name of an encoding that somebody wrote down."""
    if not encoding:
        return ""
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise FaultError(
            f"the encoding {encoding!r} is not known", None, "name one such as utf-8, windows-1252 or utf-16"
        ) from None
    return {"utf-8-sig": "utf-8", "iso8859-1": "latin-1", "utf-16": "utf-16"}.get(name, name)


def _marked(head: bytes) -> str:
    """The encoding by the mark at the beginning of the file, or by the zeros between the letters; empty if by neither."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    sample = head[:4096]
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if max(even, odd) * 4 > len(sample):
        return "utf-16-be" if even > odd else "utf-16-le"
    return ""


def _eight_bit(path: Path) -> str:
    """What a file is in that is not UTF-8: Windows-1252, unless most of its foreign letters are UTF-8 and some are damaged."""
    high = whole = 0
    is_windows = True
    for block in _blocks(path):
        high += len(_HIGH.findall(block))
        whole += sum(len(letter) for letter in _MULTIBYTE.findall(block))
        is_windows = is_windows and not _NOT_WINDOWS.search(block)
    if 2 * whole > high:
        return "utf-8"
    return "cp1252" if is_windows else "latin-1"


def _head(head: bytes, encoding: str, size: int) -> str:
    text = head.decode(encoding, errors="replace").removeprefix("\ufeff")
    if size > len(head):
        end = max(text.rfind("\n"), text.rfind("\r"))
        text = text[: end + 1] if end >= 0 else text
    return text


def _last_line(tail: bytes, encoding: str) -> str:
    if encoding.startswith("utf-16") and len(tail) == _TAIL_BYTES:
        tail = tail[len(tail) % 2 :]
    text = tail.decode(encoding, errors="replace")
    return text[max(text.rfind("\n"), text.rfind("\r")) + 1 :].removeprefix("\ufeff")


def recognise(
    path: Path, wanted: Collection[str], delimiter: str = "", encoding: str = ""
) -> tuple[Dialect, list[str]]:
    """How a CSV is written, and the names in its header.

    Args:
        wanted: lower-case names of columns that it may have, by which its header is known.
        delimiter, encoding: what is known of it; empty: found out.

    Raises:
        FaultError: it cannot be read, is empty, or its last row is not whole.
    """
    seen = survey(path, encoding)
    if seen.is_empty or not seen.head.strip():
        raise FaultError("the file is empty, without even a header", None, "export it again")
    head, skipped = seen.head, 0
    first_line, _, below = head.partition("\n")
    if declared := re.fullmatch(r'"?sep=(.)"?\r?', first_line, re.IGNORECASE):
        head, skipped = below, 1
        delimiter = delimiter or declared[1]
    delimiter = _DELIMITER_NAMES.get(delimiter.lower(), delimiter)
    if len(delimiter) > 1:
        raise FaultError(f"the delimiter {delimiter!r} is longer than one sign", None, "name a single sign or 'tab'")
    dialect = _dialect(head, wanted, (delimiter,) if delimiter else DELIMITERS)
    dialect = replace(dialect, skipped_lines=skipped, encoding=seen.encoding, is_copied=seen.needs_copy)
    names = _header(dialect, head)
    if seen.last_line:
        _check_last_row(dialect, head, seen.last_line, len(names))
    return dialect, names


def _header(dialect: Dialect, head: str) -> list[str]:
    try:
        return next((row for _, row in dialect.rows(iter(io.StringIO(head, newline="")))), [])
    except FaultError:
        # The head of a file ends somewhere, and so may a quoted value in it.
        line = head.splitlines()[0]
        return next(csv.reader([line], delimiter=dialect.delimiter, quotechar=dialect.quote), [])


def _sample(dialect: Dialect, head: str) -> tuple[list[list[str]], bool]:
    """The first rows, and whether they could be read without a fault."""
    rows: list[list[str]] = []
    try:
        for _, row in dialect.rows(iter(io.StringIO(head, newline=""))):
            rows.append(row)
            if len(rows) > _SAMPLE_ROWS:
                break
    except FaultError:
        return rows, False
    return rows, True


def _dialect(head: str, wanted: Collection[str], delimiters: Collection[str]) -> Dialect:
    """The delimiter whose header has most of the names wanted, then the one that divides the rows alike; and the quotes.

    Double quotes are what nearly everybody writes, so others have to show themselves: a fault in a file must not turn it into another
    dialect in which it has none.
    """
    guess = "'" if head.lstrip().startswith("'") else '"'
    dialect = max(
        (Dialect(delimiter, guess, guess) for delimiter in delimiters),
        key=lambda candidate: _likelihood(candidate, head, wanted),
    )
    rows, is_sound = _sample(dialect, head)
    is_alike = is_sound and all(len(row) == len(rows[0]) for row in rows)
    if guess == '"' and '"' not in head:
        wrapped = sum(any(len(cell) > 1 and cell[0] == cell[-1] == "'" for cell in row) for row in rows)
        single = replace(dialect, quote="'", escape="'")
        if (2 * wrapped > len(rows) or not is_alike) and _divides_alike(single, head):
            return single
    if not is_alike and f"\\{guess}" in head:
        escaped = replace(dialect, escape="\\")
        if _divides_alike(escaped, head):
            return escaped
    return dialect


def _divides_alike(dialect: Dialect, head: str) -> bool:
    rows, is_sound = _sample(dialect, head)
    return is_sound and all(len(row) == len(rows[0]) for row in rows)


def _likelihood(dialect: Dialect, head: str, wanted: Collection[str]) -> tuple[float, ...]:
    """How well a delimiter explains the first rows; among equals the one that is tried first wins."""
    rows, _ = _sample(dialect, head)
    if not rows:
        return (0.0,)
    width = len(rows[0])
    known = sum(name.strip().lower() in wanted for name in rows[0])
    alike = sum(len(row) == width for row in rows) / len(rows)
    return (known, width > 1, alike, width)


# Fewer rows than this do not show what the values of a column have in common.
_LEAST_TO_COMPARE = 10
_HALF_WRITTEN = "so the file may be half-written"


def _check_last_row(dialect: Dialect, head: str, last_line: str, width: int) -> None:
    """A file whose last line has no end is whole where its last row is, as far as can be told.

    A row that lacks cells was cut. So was, most likely, a last value that is shorter than all others where these are moments of one
    length, or numbers with one number of decimals.

    Raises:
        FaultError: the last row is not whole.
    """
    try:
        last = next((row for _, row in dialect.rows(iter([last_line]))), [])
    except FaultError:
        # The end of a value of several lines, perhaps. DuckDB reads the whole of it and judges.
        return
    remedy = "wait for the export to finish, or end the file with a newline if it is whole"
    if len(last) < width and dialect.quote not in last_line:
        what = f"the last row has {len(last)} of {width} cells and its line has no end, {_HALF_WRITTEN}"
        raise FaultError(what, None, remedy)
    rows, _ = _sample(dialect, head.removesuffix(last_line))
    others = [value for row in rows[1:] if len(row) == width and (value := row[-1].strip())]
    if len(last) != width or not last[-1].strip() or len(others) < _LEAST_TO_COMPARE:
        return
    for measure in (_length_of_moment, _decimals):
        usual = {measure(other) for other in others}
        if len(usual) == 1 and measure(last[-1].strip()) < usual.pop():
            what = f"the last line has no end and its last value is shorter than all others, {_HALF_WRITTEN}"
            raise FaultError(what, None, remedy)


def _length_of_moment(value: str) -> int:
    """How long a date or an instant is; 0 for anything else."""
    return len(value) if re.fullmatch(r"\d+[-/.]\d+[-/.].*", value) else 0


def _decimals(value: str) -> int:
    number = re.fullmatch(r"[^.,]*\d([.,]\d+)?", value)
    return len(number[1] or "") if number else 0


def csv_rows(path: Path, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """The rows below the header, with the line on which each begins.

    Raises:
        FaultError: a quote is wrong.
    """
    with _lines(path, dialect.encoding) as lines:
        for _ in range(dialect.skipped_lines):
            next(lines)
        rows = dialect.rows(lines)
        next(rows, None)
        yield from rows


def csv_fault(path: Path, dialect: Dialect, width: int) -> FaultError | None:
    """What is wrong with a CSV that DuckDB could not read: the first fault, with its line; None: nothing that is seen here."""
    unequal: tuple[int, int] | None = None
    more = 0
    try:
        for line, row in csv_rows(path, dialect):
            if len(row) != width:
                more += unequal is not None
                unequal = unequal or (line, len(row))
    except FaultError as fault:
        if unequal is None:
            return fault
    if unequal is None:
        return None
    line, cells = unequal
    like_it = f" ({more:,} more like it)" if more else ""
    return FaultError(
        f"the row has {cells} cells and the header {width}{like_it}",
        line,
        "put values that hold the delimiter into quotes, or export the file again",
    )


def json_fault(path: Path) -> FaultError | None:
    """What is wrong with a file of JSON lines: the first fault, with its line; None: nothing that is seen here."""
    try:
        with _lines(path, "utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    value = json.loads(line)
                except ValueError:
                    return FaultError("this is not one whole JSON object", number, "write one object on each line")
                if not isinstance(value, dict):
                    return FaultError("this is JSON, but no object", number, "write one object on each line")
    except FaultError as fault:
        return fault
    return None


@contextmanager
def _lines(path: Path, encoding: str) -> Iterator[Iterator[str]]:
    """The lines of a file with their ends, as ``csv`` wants them, without the mark at its beginning."""
    with _opened(path) as stream, io.TextIOWrapper(stream, encoding, newline="") as text:
        first = text.readline().removeprefix("\ufeff")
        yield itertools.chain([first] if first else [], text)
