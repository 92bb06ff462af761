"""Documents for people: HTML from templates, and PDF on A4 paper."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway.money import format_usd

FONT: Final = "helvetica"
OWN_FONT: Final = "document"

# What the fonts that every reader of PDF has can show.
_WESTERN: Final = "latin-1"


def day_text(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d}"


def time_text(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters |= {"usd": format_usd, "day": day_text, "time": time_text}


def render_html(template: str, **values: object) -> str:
    return _templates.get_template(template).render(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table; ``width`` is its share of the line, and numbers stand at the right."""

    title: str
    width: int
    is_number: bool = False


class Paper:
    """A PDF that is written from top to bottom. ``font`` is a TrueType file for letters beyond Western Europe."""

    def __init__(self, *, title: str, author: str, made_at_ms: int, font: Path | None = None) -> None:
        # To import it takes a quarter of the control plane's start, and few ask for paper.
        from fpdf import FPDF, FontFace  # noqa: PLC0415

        self._pdf = FPDF(format="A4")
        self._titles = FontFace(emphasis="BOLD")
        self._is_western = font is None
        if font is not None:
            for style in ("", "B"):
                self._pdf.add_font(OWN_FONT, style, str(font))
        self._font = FONT if font is None else OWN_FONT
        self._pdf.set_title(title)
        self._pdf.set_author(author)
        self._pdf.set_creation_date(datetime.fromtimestamp(made_at_ms / 1000, UTC))
        self._pdf.set_margin(18)
        self._pdf.add_page()
        self.heading(title, size=18)

    def heading(self, text: str, *, size: int = 12) -> None:
        self._pdf.ln(2)
        self._write(text, size=size, style="B")

    def text(self, *lines: str) -> None:
        for line in lines:
            self._write(line, size=10, style="")

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        """The titles are repeated on every page."""
        self._pdf.set_font(self._font, size=9)
        with self._pdf.table(
            col_widths=tuple(column.width for column in columns),
            text_align=tuple("RIGHT" if column.is_number else "LEFT" for column in columns),
            borders_layout="HORIZONTAL_LINES",
            headings_style=self._titles,
            line_height=5.5,
        ) as table:
            for row in ([column.title for column in columns], *rows):
                table.row([self._shown(cell) for cell in row])

    def to_bytes(self) -> bytes:
        return bytes(self._pdf.output())

    def _write(self, text: str, *, size: int, style: str) -> None:
        self._pdf.set_font(self._font, style, size)
        self._pdf.multi_cell(0, size * 0.5, self._shown(text), new_x="LMARGIN", new_y="NEXT")

    def _shown(self, text: str) -> str:
        return text.encode(_WESTERN, "replace").decode(_WESTERN) if self._is_western else text
