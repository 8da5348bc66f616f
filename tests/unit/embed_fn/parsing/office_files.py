"""Writes Office files part by part, so that tests can write what no Office program would."""

import io
import zipfile
from collections.abc import Mapping
from typing import Final

_TYPES: Final = "http://schemas.openxmlformats.org/package/2006/content-types"
_RELATIONS: Final = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
WORD: Final = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
SHEET: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
DOCUMENT: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
MACRO_DOCUMENT: Final = "application/vnd.ms-word.document.macroEnabled.main+xml"
WORKBOOK: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"
PRESENTATION: Final = "application/vnd.openxmlformats-officedocument.presentationml.presentation.main+xml"


def packed(parts: Mapping[str, str | bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in parts.items():
            package.writestr(name, content)
    return file.getvalue()


def office(main: str, content_type: str, parts: Mapping[str, str | bytes]) -> bytes:
    """A package whose main part is `main`."""
    override = f'<Override PartName="/{main}" ContentType="{content_type}"/>'
    return packed(
        {
            "[Content_Types].xml": f'<Types xmlns="{_TYPES}">{override}</Types>',
            "_rels/.rels": relations({"rId1": ("officeDocument", main)}),
            **parts,
        }
    )


def relations(targets: Mapping[str, tuple[str, str]]) -> str:
    inside = "".join(
        f'<Relationship Id="{name}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for name, (kind, target) in targets.items()
    )
    return f'<?xml version="1.0"?><Relationships xmlns="{_RELATIONS}">{inside}</Relationships>'


def docx(body: str, *, before: str = "", content_type: str = DOCUMENT, **parts: str) -> bytes:
    """body: XML inside of the body. before: in front of the document's element. parts: further ones."""
    document = f'<?xml version="1.0"?>{before}<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>'
    return office("word/document.xml", content_type, {"word/document.xml": document, **parts})


def paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def xlsx(sheet: str, *, name: str = "Sheet", **parts: str) -> bytes:
    """sheet: XML inside of the only sheet's data."""
    workbook = (
        f'<workbook xmlns="{SHEET}" xmlns:r="{_OFFICE}"><sheets><sheet name="{name}" sheetId="1" r:id="rId1"/></sheets>'
        "</workbook>"
    )
    return office(
        "xl/workbook.xml",
        WORKBOOK,
        {
            "xl/workbook.xml": workbook,
            "xl/_rels/workbook.xml.rels": relations({"rId1": ("worksheet", "worksheets/sheet1.xml")}),
            "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{SHEET}"><sheetData>{sheet}</sheetData></worksheet>',
            **parts,
        },
    )


def line(number: int, *cells: str | int) -> str:
    """A row of a sheet."""
    inside = "".join(
        f'<c r="{chr(65 + column)}{number}"><v>{cell}</v></c>'
        if isinstance(cell, int)
        else f'<c r="{chr(65 + column)}{number}" t="inlineStr"><is><t>{cell}</t></is></c>'
        for column, cell in enumerate(cells)
    )
    return f'<row r="{number}">{inside}</row>'
