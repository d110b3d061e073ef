"""Reads film lists record by record: a JSON array, JSON lines, or CSV."""

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

from cinesync.movies.importing.cleaning import TITLE, FieldFault, RawRecord, Rejection, not_a_record

CHUNK_BYTES = 64 * 1024
RECORD_CHARACTERS_MAX = 64 * 1024
RECORDS_MAX = 1_000_000
MARK_BYTES_MAX = 3
UTF_8 = "utf-8"
_SEPARATORS = " \t\r\n,"
_DELIMITER_LINE = re.compile(r'"?sep=(.)"?\s*')  # what Excel writes and reads before the header
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_MARKED_NAMES = {UTF_8: "UTF-8", "utf-8-sig": "UTF-8"}


class BrokenFile(Exception):
    """The rest of the file cannot be read; the message is `name:line: one sentence.`"""

    def __init__(self, path: Path, line: int, sentence: str) -> None:
        super().__init__(f"{path.name}:{line}: {sentence}")


def records(path: Path, encoding: str = UTF_8) -> Iterator[RawRecord | Rejection]:
    """All records of the file, in order, with their lines. Raises BrokenFile.

    A byte order mark of UTF-16 or UTF-8 overrides `encoding`.
    """
    try:
        read = _csv_records if path.suffix.lower() in {".csv", ".tsv"} else _json_records
        for count, record in enumerate(read(path, encoding), 1):
            if count > RECORDS_MAX:
                raise BrokenFile(path, 1, f"More than {RECORDS_MAX} records; split the file.")
            yield record
    except OSError as error:
        raise BrokenFile(path, 1, f"The file cannot be opened: {error.strerror}.") from error


def _lines(path: Path, encoding: str) -> Iterator[str]:
    """Decoded lines, with any line end as a line feed; a very long line in parts."""
    line = 1
    with path.open("rb") as file:
        encoding = _marked(file.peek(MARK_BYTES_MAX)) or encoding
        decoder = io.IncrementalNewlineDecoder(
            codecs.getincrementaldecoder(encoding)(), translate=True
        )
        chunk = None
        while chunk != b"":
            chunk = file.read(CHUNK_BYTES)
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                raise _undecodable(path, line, encoding, error, is_end=not chunk) from error
            line += text.count("\n")
            yield from io.StringIO(text, newline="\n")


def _marked(start: bytes) -> str | None:
    """The encoding of a byte order mark (Unicode Standard, section 23.8)."""
    return next((name for mark, name in _MARKS.items() if start.startswith(mark)), None)


def _undecodable(
    path: Path, line: int, encoding: str, error: UnicodeDecodeError, *, is_end: bool
) -> BrokenFile:
    before = error.object[: error.start].decode(encoding, errors="ignore")
    line += len(re.findall("\r\n?|\n", before))
    if is_end:
        return BrokenFile(path, line, "The file ends in the middle of a letter; it was cut off.")
    wrong = f"Byte 0x{error.object[error.start]:02X} is not {_MARKED_NAMES.get(encoding, encoding)}"
    right = "save the file as UTF-8, or name the encoding it has"
    return BrokenFile(path, line, f"{wrong}; {right}.")


class _JsonText:
    """A buffered part of the file, with the line at which it begins."""

    def __init__(self, path: Path, encoding: str) -> None:
        self._path = path
        self._lines = _lines(path, encoding)
        self._decoder = json.JSONDecoder()
        self._buffer = ""
        self._ended = False
        self.line = 1

    def skip(self, characters: str) -> str:
        """Skip these characters; the next other one, or an empty text at the end."""
        while True:
            rest = self._buffer.lstrip(characters)
            self._consume(len(self._buffer) - len(rest))
            if rest or not self._read_line():
                return rest[:1]

    def take(self, count: int) -> None:
        """Skip `count` characters."""
        self._consume(count)

    def value(self) -> object:
        """The JSON value that begins here. Raises BrokenFile."""
        while True:
            try:
                value, length = self._decoder.raw_decode(self._buffer)
            except json.JSONDecodeError as error:
                if self._is_partial(error) and self._read_line():
                    continue
                where = self.line + self._buffer.count("\n", 0, error.pos)
                raise BrokenFile(self._path, where, _sentence(error)) from error
            except RecursionError as error:
                raise self.broken("Lists are nested too deeply.") from error
            except ValueError as error:
                raise self.broken("A number has too many digits.") from error
            self._consume(length)
            return value

    def broken(self, sentence: str) -> BrokenFile:
        """An error at this line."""
        return BrokenFile(self._path, self.line, sentence)

    def _is_partial(self, error: json.JSONDecodeError) -> bool:
        """Whether the next line may complete the value; a value that is too long is broken."""
        at_end = not self._buffer[error.pos :].strip() or "Unterminated" in error.msg
        near_end = len(self._buffer) - error.pos < len("\\u0000\\u0000")
        return (at_end or near_end) and len(self._buffer) < RECORD_CHARACTERS_MAX

    def _read_line(self) -> bool:
        text = next(self._lines, None)
        self._buffer += text or ""
        return text is not None

    def _consume(self, count: int) -> None:
        self.line += self._buffer.count("\n", 0, count)
        self._buffer = self._buffer[count:]


def _json_records(path: Path, encoding: str) -> Iterator[RawRecord | Rejection]:
    text = _JsonText(path, encoding)
    is_array = text.skip(_SEPARATORS[:4]) == "["
    if is_array:
        text.take(1)
    while (first := text.skip(_SEPARATORS)) and first != "]":
        line = text.line
        if first == "[":
            raise text.broken("A list inside the list; records are objects: {…}.")
        value = text.value()
        yield RawRecord(line, value) if isinstance(value, dict) else not_a_record(line, value)
    if is_array and first != "]":
        raise text.broken("The list has no closing bracket ]; the file was cut off.")
    if first == "]" and (not is_array or _after_end(text)):
        raise text.broken("Something follows the closing bracket ].")


def _after_end(text: _JsonText) -> bool:
    text.take(1)
    return bool(text.skip(_SEPARATORS[:4]))


def _sentence(error: json.JSONDecodeError) -> str:
    return f"This is not JSON: {error.msg[:1].lower()}{error.msg[1:]} (column {error.colno})."


def _csv_records(path: Path, encoding: str) -> Iterator[RawRecord | Rejection]:
    lines = _csv_lines(path, encoding)
    header, lines_before = next(lines, ""), 1
    if stated := _DELIMITER_LINE.fullmatch(header):
        header, lines_before = next(lines, ""), 2
    delimiter = stated[1] if stated else max(",;\t", key=header.count)
    names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
    if TITLE not in names:
        raise BrokenFile(
            path, lines_before, f"This line names the columns; {TITLE} is not among them."
        )
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    line = lines_before + 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield _csv_record(line, names, cells)
            line = lines_before + reader.line_num + 1  # csv.reader does not get the header
    except csv.Error as error:
        raise BrokenFile(path, line, f"This is not CSV: {error}.") from error


def _csv_lines(path: Path, encoding: str) -> Iterator[str]:
    """Whole lines: csv.reader counts them, and refuses those that are too long."""
    waiting = io.StringIO()
    for part in _lines(path, encoding):
        waiting.write(part)
        if part.endswith("\n") or waiting.tell() > csv.field_size_limit():
            yield waiting.getvalue()
            waiting = io.StringIO()
    if waiting.tell():
        yield waiting.getvalue()


def _csv_record(line: int, names: list[str], cells: list[str]) -> RawRecord | Rejection:
    if len(cells) != len(names):
        wrong = f"{len(cells)} cells for {len(names)} columns"
        return Rejection(
            line, (FieldFault("record", wrong, "quote cells that contain the delimiter"),)
        )
    return RawRecord(line, dict(zip(names, cells, strict=True)))
