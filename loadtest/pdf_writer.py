"""Writes plain PDF files: what the benchmark and the tests read."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class PdfFile:
    """Objects by their numbers, from 1 on; object 1 is the catalog. trailer: what else its trailer holds."""

    objects: list[bytes] = field(default_factory=list)
    trailer: bytes = b""

    def add(self, content: bytes) -> int:
        self.objects.append(content)
        return len(self.objects)

    def add_stream(self, data: bytes, entries: bytes = b"") -> int:
        return self.add(b"<< /Length %d %b >>\nstream\n%b\nendstream" % (len(data), entries, data))

    def bytes(self) -> bytes:
        parts, offsets, position = [b"%PDF-1.7\n"], [], 9
        for number, content in enumerate(self.objects, 1):
            offsets.append(position)
            parts.append(b"%d 0 obj\n%b\nendobj\n" % (number, content))
            position += len(parts[-1])
        parts.append(b"xref\n0 %d\n0000000000 65535 f \n" % (len(offsets) + 1))
        parts += [b"%010d 00000 n \n" % offset for offset in offsets]
        root = b"trailer\n<< /Size %d /Root 1 0 R %b >>\n" % (len(offsets) + 1, self.trailer)
        parts.append(root + b"startxref\n%d\n%%%%EOF\n" % position)
        return b"".join(parts)


def text_pdf(pages: Sequence[Sequence[str]], *, packed: bool = True, pictures: Sequence[bytes] = ()) -> bytes:
    """A4 pages of lines in Helvetica, 10 points; a line that begins with "# " is a heading, in 16 points.

    pictures: grey ones of 8 bits and 100 columns, as they are, one a page from the first on.
    """
    file = PdfFile()
    count = len(pages)
    kids = b" ".join(b"%d 0 R" % (4 + 2 * number) for number in range(count))
    file.add(b"<< /Type /Catalog /Pages 2 0 R >>")
    file.add(b"<< /Type /Pages /Count %d /Kids [%b] >>" % (count, kids))
    file.add(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
    for number, lines in enumerate(pages):
        content = 5 + 2 * number
        picture = b"/XObject << /P1 %d 0 R >> " % (4 + 2 * count + number) if number < len(pictures) else b""
        file.add(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> %b>> "
            b"/Contents %d 0 R >>" % (picture, content)
        )
        data = _content(lines)
        file.add_stream(zlib.compress(data) if packed else data, b"/Filter /FlateDecode" if packed else b"")
    for data in pictures[:count]:
        form = b"/Type /XObject /Subtype /Image /ColorSpace /DeviceGray /BitsPerComponent 8 /Width 100 /Height %d"
        file.add_stream(data, form % (len(data) // 100))
    return file.bytes()


def _content(lines: Sequence[str]) -> bytes:
    parts = [b"BT\n50 790 Td\n"]
    for line in lines:
        size, text = (16, line.removeprefix("# ")) if line.startswith("# ") else (10, line)
        escaped = text.encode("cp1252", "replace")
        for character in (b"\\", b"(", b")"):
            escaped = escaped.replace(character, b"\\" + character)
        parts.append(b"/F1 %d Tf\n(%b) Tj\n0 -%d Td\n" % (size, escaped, size + 4))
    parts.append(b"ET\n")
    return b"".join(parts)
