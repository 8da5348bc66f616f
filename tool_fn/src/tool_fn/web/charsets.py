"""Text from bytes, by what the sender says of them and by what they look like."""

import codecs
import re
from typing import Final

# Only encodings that the web uses. Python knows more under this heading, some of which take quadratic time.
_LABELS: Final = {
    "utf-8": ("utf8", "unicode-1-1-utf-8"),
    # Browsers read these two as Windows' set, which has letters where they have control characters.
    "cp1252": ("iso-8859-1", "latin1", "latin-1", "us-ascii", "ascii", "windows-1252", "l1"),
    "cp1250": ("windows-1250",),
    "cp1251": ("windows-1251",),
    "cp1253": ("windows-1253",),
    "cp1254": ("windows-1254", "iso-8859-9", "latin5"),
    "cp1255": ("windows-1255",),
    "cp1256": ("windows-1256",),
    "cp1257": ("windows-1257",),
    "cp1258": ("windows-1258",),
    "cp874": ("windows-874", "tis-620", "iso-8859-11"),
    "iso-8859-2": ("latin2",),
    "iso-8859-3": (),
    "iso-8859-4": (),
    "iso-8859-5": (),
    "iso-8859-6": (),
    "iso-8859-7": (),
    "iso-8859-8": ("iso-8859-8-i",),
    "iso-8859-10": (),
    "iso-8859-13": (),
    "iso-8859-14": (),
    "iso-8859-15": ("latin9",),
    "iso-8859-16": (),
    "koi8-r": (),
    "koi8-u": (),
    "mac-roman": ("macintosh",),
    "gb18030": ("gbk", "gb2312", "x-gbk"),
    "big5hkscs": ("big5", "big5-hkscs"),
    "euc-jp": (),
    "iso-2022-jp": (),
    "cp932": ("shift_jis", "shift-jis", "sjis", "windows-31j", "x-sjis"),
    "cp949": ("euc-kr", "ks_c_5601-1987", "windows-949"),
    "utf-16-le": ("utf-16", "utf-16le"),
    "utf-16-be": ("utf-16be",),
}
_CODECS: Final = {label: codec for codec, labels in _LABELS.items() for label in (codec, *labels)}
_BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_IN_HTML: Final = re.compile(rb"""<meta[^>]{0,200}charset\s{0,9}=\s{0,9}["']?([A-Za-z0-9_-]{1,40})""", re.IGNORECASE)
_IN_XML: Final = re.compile(rb"""<\?xml[^>]{0,200}encoding\s{0,9}=\s{0,9}["']([A-Za-z0-9_-]{1,40})""")
_LOOK_AT: Final = 2048


def decode(data: bytes, declared: str = "") -> str:
    """The text. declared: the charset of the header, if any. What cannot be read becomes U+FFFD; never fails."""
    for mark, codec in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(codec, "replace")
    found = _CODECS.get(declared.strip().strip("\"'").lower()) or _named_inside(data)
    if found is not None:
        return data.decode(found, "replace")
    # The last character may be cut in two where the body was.
    text, used = codecs.utf_8_decode(data, "replace", False)
    if used < len(data):
        text += "\N{REPLACEMENT CHARACTER}"
    wrong = text.count("\N{REPLACEMENT CHARACTER}")
    return data.decode("cp1252", "replace") if wrong > 1 + len(text) // 100 else text


def _named_inside(data: bytes) -> str | None:
    start = data[:_LOOK_AT]
    found = _IN_HTML.search(start) or _IN_XML.search(start)
    codec = None if found is None else _CODECS.get(found[1].decode("ascii").lower())
    # A page that names UTF-16 in ASCII letters cannot be that.
    return "utf-8" if codec is not None and codec.startswith("utf-16") else codec
