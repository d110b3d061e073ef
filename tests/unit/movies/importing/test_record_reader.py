"""Reading files of films, and the reports of broken ones."""

from pathlib import Path

import pytest

from cinesync.movies.importing import record_reader
from cinesync.movies.importing.cleaning import RawRecord, Rejection
from cinesync.movies.importing.record_reader import BrokenFile, records


def write(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def titles(path: Path) -> list[tuple[int, object]]:
    return [
        (item.line, item.fields.get("Title") if isinstance(item, RawRecord) else str(item))
        for item in records(path)
    ]


def test_a_json_array_is_read_with_its_lines(tmp_path: Path) -> None:
    path = write(
        tmp_path, "a.json", '\ufeff[\n {"Title": "A"},\n {"Title":\n  "B"}, {"Title": 3}\n]\n'
    )
    assert titles(path) == [(2, "A"), (3, "B"), (4, 3)]


def test_json_lines_are_read_too(tmp_path: Path) -> None:
    assert titles(write(tmp_path, "a.jsonl", '{"Title": "A"}\n\n{"Title": "B"}')) == [
        (1, "A"),
        (3, "B"),
    ]


def test_an_empty_list_has_no_films(tmp_path: Path) -> None:
    assert titles(write(tmp_path, "a.json", "[]")) == []
    assert titles(write(tmp_path, "b.json", "")) == []


def test_a_value_that_is_no_object_is_rejected_alone(tmp_path: Path) -> None:
    found = list(records(write(tmp_path, "a.json", '[\n3,\n{"Title": "A"}]')))
    assert isinstance(found[0], Rejection)
    assert isinstance(found[1], RawRecord)


def test_one_very_long_line_is_read(tmp_path: Path) -> None:
    long = ",".join(f'{{"Title": "{n}", "Director": "{"x" * 200}"}}' for n in range(1000))
    assert len(titles(write(tmp_path, "a.json", f"[{long}]"))) == 1000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'[{"Title": "A"},\n{"Title": "B" oops}]', "a.json:2: This is not JSON: expecting"),
        (b'[{"Title": "A"},\n{"Title": "B"', "a.json:2: This is not JSON"),
        (b'[{"Title": "A"},\n', "a.json:2: The list has no closing bracket ]"),
        (b'[{"Title": "A"}]\n more', "a.json:2: Something follows the closing bracket"),
        (b'{"Title": "A"}]', "a.json:1: Something follows the closing bracket"),
        (b"[[1]]", "a.json:1: A list inside the list"),
        (b'[\n{"Title": "Am\xe9lie"}]', "a.json:2: Byte 0xE9 is not UTF-8; save the file as UTF-8"),
        (b'[{"Title": "A"}]\xc3', "a.json:1: The file ends in the middle of a letter"),
        (b'[{"a": ' + b"[" * 20_000 + b"]", "a.json:1: Lists are nested too deeply"),
        (b'[{"a": ' + b"9" * 5_000 + b"}]", "a.json:1: A number has too many digits"),
        (b'[{"a": "' + b"x" * 70_000, "a.json:1: This is not JSON: unterminated string"),
        (b"\x00\x01", "a.json:1: This is not JSON"),
    ],
    ids=[str(number) for number in range(12)],
)
def test_a_broken_file_is_named_with_line_and_reason(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(BrokenFile) as broken:
        list(records(write(tmp_path, "a.json", content)))
    assert str(broken.value).startswith(message)
    assert "\n" not in str(broken.value)


def test_csv_is_read_with_its_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", '\ufeffTitle,Director\nA,X\n\n"B ""b""\nB",Y\nC,\n')
    assert titles(path) == [(2, "A"), (4, 'B "b"\nB'), (6, "C")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
def test_csv_may_be_separated_differently(tmp_path: Path, delimiter: str) -> None:
    path = write(tmp_path, "a.csv", f"Director{delimiter}Title\nX{delimiter}A")
    assert titles(path) == [(2, "A")]


def test_a_csv_row_of_another_length_is_rejected_alone(tmp_path: Path) -> None:
    found = titles(write(tmp_path, "a.csv", "Title,Director\nA,B,C\nD,E\n"))
    assert found[0][0] == 2
    assert "3 cells for 2 columns; quote cells" in str(found[0][1])
    assert found[1] == (3, "D")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"Name,Director\nA,B\n", "a.csv:1: This line names the columns; Title is not among"),
        (b"", "a.csv:1: This line names the columns"),
        (b'Title\nA\n"B\n', "a.csv:3: This is not CSV: unexpected end of data"),
        (b"Title\n" + b"x" * 200_000, "a.csv:2: This is not CSV: field larger than"),
        (b"Title\nA\nAm\xe9lie\n", "a.csv:3: Byte 0xE9 is not UTF-8"),
    ],
    ids=["no title", "empty", "open quote", "long", "latin"],
)
def test_a_broken_csv_is_named_with_line_and_reason(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(BrokenFile) as broken:
        list(records(write(tmp_path, "a.csv", content)))
    assert str(broken.value).startswith(message)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BrokenFile, match=r"none\.json:1: The file cannot be opened: No such file"):
        list(records(tmp_path / "none.json"))


def test_too_many_records_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_reader, "RECORDS_MAX", 1)
    with pytest.raises(BrokenFile, match="More than 1 records"):
        list(records(write(tmp_path, "a.json", '[{"Title": "A"}, {"Title": "B"}]')))


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_any_line_end_is_read(tmp_path: Path, end: str) -> None:
    table = end.join(("Title,Director", "A,B", "C,D", ""))
    assert titles(write(tmp_path, "a.csv", table)) == [(2, "A"), (3, "C")]
    records_ = end.join(("[", '{"Title": "A"},', '{"Title": "C"}]'))
    assert titles(write(tmp_path, "a.json", records_)) == [(2, "A"), (3, "C")]


def test_a_line_end_across_two_chunks_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_reader, "CHUNK_BYTES", 6)
    assert titles(write(tmp_path, "a.csv", "Title\r\nA\r\nB\r\n")) == [(2, "A"), (3, "B")]


def test_a_spreadsheets_delimiter_line_is_read(tmp_path: Path) -> None:
    table = "sep=;\r\nTitle;Director\r\nA, B;C\r\n"
    assert titles(write(tmp_path, "a.csv", table)) == [(3, "A, B")]
    with pytest.raises(BrokenFile, match=r"a\.csv:2: This line names the columns"):
        titles(write(tmp_path, "a.csv", "sep=;\nName\n"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "mac-roman"])
def test_a_file_is_read_in_the_encoding_it_has(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path, "a.csv", "Title\nAmélie\n".encode(encoding))
    (item,) = records(path, encoding)
    assert isinstance(item, RawRecord)
    assert item.fields["Title"] == "Amélie"


def test_a_byte_order_mark_overrides_the_encoding(tmp_path: Path) -> None:
    assert titles(write(tmp_path, "a.csv", "Title\nAmélie\n".encode("utf-16"))) == [(2, "Amélie")]


def test_a_wrong_encoding_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", b"Title\rA\r\x81\r")
    with pytest.raises(BrokenFile, match=r"a\.csv:3: Byte 0x81 is not cp1252; save the file as"):
        list(records(path, "cp1252"))
