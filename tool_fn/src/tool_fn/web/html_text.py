"""Readable text from HTML, in time that grows with the page and no faster.

Written by hand because `html.parser` takes quadratic time on pages made for that: minutes for 200 KB of "<a ". Here
every step goes forward, and a search that finds nothing ends the page.
"""

import re
from typing import Final
from urllib.parse import urljoin, urlsplit

_TAG_NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9:-]{0,40}")
_TAG_STOP: Final = re.compile(r"[>\"']")
_HREF: Final = re.compile(r"""\shref\s{0,9}=\s{0,9}(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
# Their content is no markup: everything up to the end tag goes.
_RAW: Final = {
    name: re.compile(rf"</{name}[\s/>]", re.IGNORECASE) for name in ("script", "style", "textarea", "xmp", "iframe")
}
_TITLE_END: Final = re.compile(r"</title[\s/>]", re.IGNORECASE)
# What stands on every page of a site, and what cannot be read.
_SKIPPED: Final = frozenset({"nav", "footer", "svg", "template", "select", "button", "object", "canvas", "math"})
_BREAKS: Final = frozenset((
    "address", "article", "aside", "blockquote", "br", "caption", "center", "dd", "details", "dialog", "div", "dl",
    "dt", "fieldset", "figcaption", "figure", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "legend",
    "li", "main", "ol", "option", "p", "pre", "section", "summary", "table", "tbody", "tfoot", "thead", "title",
    "tr", "ul",
))  # fmt: skip
_PARAGRAPHS: Final = frozenset((
    "p", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "dl", "pre", "blockquote", "article", "section",
    "hr",
))  # fmt: skip
_HEADINGS: Final = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_LONGEST_LINK: Final = 300
_MOST_LINKS: Final = 1000


def html_to_text(page: str, url: str = "") -> str:
    """Title, headings, paragraphs, lists, table rows and links, as Markdown. url: what links are relative to."""
    reader = _Reader(url)
    reader.read(page)
    return reader.text()


class _Reader:
    def __init__(self, url: str) -> None:
        self._url = url
        self._title = ""
        self._lines: list[str] = []
        self._line: list[str] = []
        self._prefix = ""
        self._link: tuple[int, str] | None = None  # where in the line it begins, and where it leads
        self._links = 0
        self._skipping = ""
        self._depth = 0
        self._preformatted = False

    def text(self) -> str:
        self._end_line()
        kept: list[str] = []
        for line in self._lines:
            if line or (kept and kept[-1]):
                kept.append(line)
        body = "\n".join(kept).strip("\n")
        if not self._title or body.startswith(f"# {self._title}\n"):
            return body
        return f"{self._title}\n\n{body}".strip("\n")

    def read(self, page: str) -> None:
        position = 0
        while (start := page.find("<", position)) >= 0:
            self._text(page[position:start])
            position = self._markup(page, start)
            if position < 0:
                return
        self._text(page[position:])

    def _markup(self, page: str, start: int) -> int:
        """Reads what begins with "<" here. Returns where it ends, -1 when it has no end."""
        if page.startswith("<!--", start):
            # "<!-->" is a whole comment.
            end = page.find("-->", start + 2)
            return end + 3 if end >= 0 else -1
        following = page[start + 1 : start + 2]
        if following in ("!", "?"):
            end = page.find(">", start)
            return end + 1 if end >= 0 else -1
        is_end = following == "/"
        name = _TAG_NAME.match(page, start + 1 + is_end)
        if name is None:
            self._text("<")
            return start + 1
        end = _tag_end(page, name.end())
        if end < 0:
            return -1
        tag = name[0].lower()
        if is_end:
            self._end(tag)
            return end + 1
        if not self._skipping and tag == "title":
            return self._take_title(page, end + 1)
        self._start(tag, page[name.end() : end])
        if tag in _RAW:
            closing = _RAW[tag].search(page, end)
            return closing.start() if closing is not None else -1
        return end + 1

    def _take_title(self, page: str, start: int) -> int:
        closing = _TITLE_END.search(page, start)
        if closing is None:
            return -1
        self._title = self._title or " ".join(_unescape(page[start : closing.start()]).split())
        return closing.start()

    def _start(self, tag: str, attributes: str) -> None:
        if self._skipping:
            self._depth += tag == self._skipping
            return
        if tag in _SKIPPED and not attributes.endswith("/"):
            self._skipping, self._depth = tag, 1
        elif tag in _BREAKS:
            self._break(tag)
            if tag == "li":
                self._prefix = "- "
            elif tag in _HEADINGS:
                self._prefix = _HEADINGS[tag]
            elif tag == "pre":
                self._preformatted = True
        elif tag in ("td", "th"):
            if self._line:
                self._line.append(" | ")
        elif tag == "a":
            self._end_link()
            target = self._absolute(attributes)
            self._link = (len(self._line), target) if target else None

    def _end(self, tag: str) -> None:
        if self._skipping:
            self._depth -= tag == self._skipping
            if not self._depth:
                self._skipping = ""
            return
        if tag == "pre":
            self._end_line()
            self._preformatted = False
        if tag == "a":
            self._end_link()
        elif tag in _BREAKS:
            self._break(tag)

    def _text(self, raw: str) -> None:
        if self._skipping or not raw:
            return
        text = _unescape(raw)
        if not self._preformatted:
            self._line.append(text)
            return
        first, *others = text.split("\n")
        self._line.append(first)
        for line in others:
            self._end_line()
            self._line.append(line)

    def _break(self, tag: str) -> None:
        self._end_line()
        if tag in _PARAGRAPHS:
            self._lines.append("")

    def _end_line(self) -> None:
        self._end_link()
        line = "".join(self._line)
        line = line.rstrip() if self._preformatted else " ".join(line.split()).strip("| ")
        if line or self._preformatted:
            self._lines.append(self._prefix + line)
            self._prefix = ""
        self._line.clear()

    def _end_link(self) -> None:
        if self._link is None:
            return
        (start, target), self._link = self._link, None
        raw = "".join(self._line[start:])
        label = " ".join(raw.split())
        if label and label != target:
            self._line[start:] = [" " * raw[0].isspace(), f"[{label}]({target})", " " * raw[-1].isspace()]

    def _absolute(self, attributes: str) -> str:
        """Where a link leads, if that can be requested and is short; "" otherwise."""
        if self._links >= _MOST_LINKS or len(attributes) > 4 * _LONGEST_LINK:
            return ""
        found = _HREF.search(attributes)
        if found is None:
            return ""
        self._links += 1
        target = _unescape(found[1] or found[2] or found[3] or "").strip()
        if not target or target.startswith("#"):
            return ""
        try:
            target = urljoin(self._url, target)
            scheme = urlsplit(target).scheme
        except ValueError:
            return ""
        if scheme not in ("http", "https") or len(target) > _LONGEST_LINK or any(map(str.isspace, target)):
            return ""
        return target


def _tag_end(page: str, position: int) -> int:
    """Where the tag's ">" is, past quoted values; -1: nowhere."""
    while (stop := _TAG_STOP.search(page, position)) is not None:
        if stop[0] == ">":
            return stop.start()
        # A quote opens a value only after "=".
        if page[position : stop.start()].rstrip().endswith("=") or page[stop.start() - 1] == "=":
            closing = page.find(stop[0], stop.end())
            if closing < 0:
                return page.find(">", stop.end())
            position = closing + 1
        else:
            position = stop.end()
    return -1


def _unescape(text: str) -> str:
    if "&" not in text:
        return text
    try:
        from html import unescape  # its table of names is 0.4 MB, which the function's start does without

        return unescape(text)
    except ValueError:  # a number of thousands of digits
        return text
