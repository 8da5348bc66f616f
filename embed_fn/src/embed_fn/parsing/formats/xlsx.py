"""XLSX: each sheet is a page and a table; its first row may name the columns."""

import datetime
from collections.abc import Iterator
from typing import Any, Final

from dormouse_runtime.workers.errors import RefusalError
from python_calamine import CalamineError, CalamineWorkbook, PasswordError, SheetTypeEnum, SheetVisibleEnum

from embed_fn.parsing.cleaning import one_line
from embed_fn.parsing.document import BlockKind, Piece
from embed_fn.parsing.formats.table import rows
from embed_fn.parsing.packed import Package, broken, encrypted
from embed_fn.parsing.source import Source

_MOST_CELLS: Final = 3_000_000


def pieces(source: Source, _package: Package, _main: str) -> Iterator[Piece]:
    """The package has been checked for what it unpacks to."""
    source.file.seek(0)
    try:
        with CalamineWorkbook.from_filelike(source.file) as workbook:
            for number, sheet in enumerate(workbook.sheets_metadata):
                if sheet.typ is SheetTypeEnum.WorkSheet and sheet.visible is SheetVisibleEnum.Visible:
                    yield from _sheet(source, workbook, number, sheet.name)
    except PasswordError as error:
        raise encrypted() from error
    except (CalamineError, OSError, ValueError) as error:
        raise broken() from error
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # what the Rust library raises on what it did not think of
            raise broken() from error
        raise


def _sheet(source: Source, workbook: CalamineWorkbook, number: int, name: str) -> Iterator[Piece]:
    page = source.next_page("sheets")
    sheet = workbook.get_sheet_by_index(number)
    if sheet.width * sheet.height > _MOST_CELLS:
        raise RefusalError(
            f"A sheet has {sheet.height:,} rows by {sheet.width:,} columns. Split it, or upload it as CSV."
        )
    title = one_line(name) or f"Sheet {page}"
    yield Piece(BlockKind.HEADING, title, 1, page)
    yield from rows(([_cell(value) for value in line] for line in sheet.iter_rows()), page)


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value if value.isalnum() and value.isascii() else one_line(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ").removesuffix(" 00:00:00")
    return str(value).lower() if isinstance(value, bool) else str(value)
