import os
import random
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from bertedge.data import Columns, ExampleFile, TextExample, open_examples
from bertedge.errors import BertedgeError, DataError, SettingError
from bertedge.spec import ProblemType, Task

ROWS = [
    ["Text", "Label", "Wert"],
    ["Größe passt; Farbe, auch", "Lob", 1.5],
    ["Zeile eins\nZeile zwei", "Kritik", 2],
    [None, None, None],
    ['sagte "nein"', "Kritik", 3],
]
GIVEN = [(row[0], row[1]) for row in (ROWS[1], ROWS[2], ROWS[4])]


def open_texts(path: Path, columns: Columns | None = None, **needs: object) -> ExampleFile:
    return open_examples(path, Task.TEXT_CLASSIFICATION, columns or Columns(), **needs)


def rows(file: ExampleFile) -> list[tuple[str, str | None]]:
    return [(each.text, each.label) for each in file if isinstance(each, TextExample)]


def test_the_first_sheet_is_read_and_another_by_name(write_workbook) -> None:
    other = [["text", "label"], ["a", "x"]]
    path = write_workbook("a.xlsx", {"Tabelle1": ROWS, "Test & mehr": other})
    file = open_texts(path)
    assert rows(file) == GIVEN
    assert [each.line for each in file] == [2, 3, 5]
    assert rows(open_texts(path, Columns(sheet="Test & mehr"))) == [("a", "x")]
    assert rows(open_texts(path, file.columns)) == GIVEN
    with pytest.raises(DataError, match=r"no sheet 'Tab'; it has 'Tabelle1', 'Test & mehr'"):
        open_texts(path, Columns(sheet="Tab"))


def test_rows_are_counted_as_excel_counts_them(write_workbook) -> None:
    path = write_workbook("a.xlsx", {"S": [["text", "label"], ["a", "x"], ["b", " "]]}, first=4)
    file = open_texts(path)
    assert next(iter(file)).line == 5
    with pytest.raises(DataError, match=r"a\.xlsx:6: the label is empty"):
        list(file)


def test_numbers_truths_and_blank_columns_are_as_the_sheet_shows_them(write_workbook) -> None:
    cells = [["text", "label", "", None], ["a", 1, "", " "], [2.0, True, None, None]]
    path = write_workbook("a.xlsx", {"S": cells})
    assert rows(open_texts(path)) == [("a", "1"), ("2", "TRUE")]
    cells = [["text", "score"], ["a", 0.25], ["b", 1e-7]]
    path = write_workbook("b.xlsx", {"S": cells})
    file = open_texts(path, problem_type=ProblemType.REGRESSION)
    assert [each.value for each in file if isinstance(each, TextExample)] == [0.25, 1e-7]


def test_a_sheet_without_a_header_is_told_by_its_cells(write_workbook) -> None:
    cells = [[f"a longer text {i}", "xy"[i % 2]] for i in range(8)]
    file = open_texts(write_workbook("a.xlsx", {"S": cells}))
    assert rows(file) == [(text, label) for text, label in cells]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (Columns(separator=";"), "Excel workbook; leave --separator"),
        (Columns(encoding="cp1252"), "Excel workbook; leave --separator and --encoding out"),
        (Columns(text="Txt"), r"a\.xlsx:1: there is no column 'Txt'; found 'Text', 'Label'"),
    ],
)
def test_a_mistake_is_said(write_workbook, columns: Columns, message: str) -> None:
    with pytest.raises(BertedgeError, match=message):
        open_texts(write_workbook("a.xlsx", {"S": ROWS}), columns)


def test_a_sheet_of_no_workbook_is_refused(write) -> None:
    with pytest.raises(SettingError, match="no Excel workbook"):
        open_texts(write("a.csv", "text,label\na,x\n"), Columns(sheet="S"))


def test_a_workbook_of_another_name_is_known(write_workbook, tmp_path: Path) -> None:
    path = write_workbook("a.xlsx", {"S": ROWS}).rename(tmp_path / "a.csv")
    with pytest.raises(DataError, match=r"looks like an Excel workbook; .*--format excel"):
        open_texts(path)
    assert rows(open_texts(path, Columns(format="excel"))) == GIVEN


@pytest.mark.parametrize("name", ["a.numbers", "a.parquet", "a.docx"])
def test_what_cannot_be_read_is_told_how_to_save(write, name: str) -> None:
    with pytest.raises(SettingError, match="as CSV UTF-8"):
        open_texts(write(name, "x"))


@pytest.mark.parametrize("content", ["", "text,label\na,x\n", b"PK\x03\x04" + b"\0" * 99])
@pytest.mark.parametrize("name", ["a.xlsx", "a.xls", "a.ods", "a.xlsb"])
def test_what_is_no_workbook_is_one_line(write, name: str, content: str | bytes) -> None:
    with pytest.raises(DataError, match=r"cannot be read as an Excel workbook|is empty") as caught:
        open_texts(write(name, content))
    assert len(str(caught.value)) < 300 + len(str(caught.value).split(":")[0])


def test_damaged_workbooks_are_one_line(write_workbook) -> None:
    """Also where the reader, which is in Rust, panics."""
    path = write_workbook("a.xlsx", {"S": ROWS})
    whole = path.read_bytes()
    rng = random.Random(0)
    refused = 0
    for _ in range(16):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged[: rng.choice([len(damaged), rng.randrange(len(damaged))])])
        try:
            list(open_texts(path))
        except BertedgeError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 4


@pytest.mark.parametrize("far", ["B1048576", "XFD1048576", "XFD2"])
def test_a_cell_far_out_takes_bounded_memory_and_time(write_workbook, far: str) -> None:
    """Readers hold a table dense: two cells in its corners made one ask for 33 GB, and end."""
    path = write_workbook("a.xlsx", {"S": [["text", "label"], ["a", "x"]]})
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, content in parts.items():
            cell = f'<row r="{far.lstrip("XFDB")}"><c r="{far}"><v>7</v></c></row></sheetData>'
            file.writestr(name, content.replace(b"</sheetData>", cell.encode()))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if far == "XFD1048576":
        with pytest.raises(DataError, match="it takes more than 2 GiB of memory"):
            open_texts(path)
    else:
        assert next(iter(open_texts(path))).line == 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**18  # KiB


def test_a_workbook_that_unpacks_to_much_is_refused(write_workbook) -> None:
    path = write_workbook("a.xlsx", {"S": [["text", "label"], ["x" * 2**25, "x"]]})
    with pytest.raises(DataError, match="row 2 has over 16,777,216 characters"):
        open_texts(path)


def test_a_reader_that_stops_early_leaves_no_process(write_workbook) -> None:
    path = write_workbook("a.xlsx", {"S": [["text", "label"], *[["a", "x"]] * 5_000]})
    stream = iter(open_texts(path))
    next(stream)
    stream.close()
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    assert not children.exists() or not children.read_text().split()


def test_without_the_extra_it_is_said_what_to_do(write_workbook, tmp_path: Path) -> None:
    path = write_workbook("a.xlsx", {"S": ROWS})
    (tmp_path / "python_calamine.py").write_text("raise ImportError")
    tiny = Path(__file__).parents[2] / "models" / "tiny" / "text-classification"
    run = subprocess.run(
        [sys.executable, "-m", "bertedge", "predict", str(tiny), "--input", str(path)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"},
    )
    assert run.returncode == 1
    assert "pip install 'bertedge[excel]', or save the table as CSV UTF-8" in run.stderr
