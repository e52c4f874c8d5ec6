"""What notebooks show of a value: a heading, a small table, a remark; every text in it is escaped.

Nothing sets a colour, so that all is readable on whatever page it stands, light or dark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

MOST = 20
"""Rows of a table that are shown."""
_WIDE = 90  # characters of a cell


def shown(title: str, about: str, rows: Sequence[Mapping[str, Any]] = (), remark: str = "") -> str:
    """HTML of a value: its title, a line about it, a table of its first rows, and a remark."""
    parts = [f"<p><b>{escape(title)}</b> {escape(about)}</p>", _table(rows)]
    left = len(rows) - MOST
    remark = " ".join([f"… and {left} more."] * (left > 0) + [remark] * bool(remark))
    return "\n".join(filter(None, [*parts, f"<p>{escape(remark)}</p>" if remark else ""]))


def bullets(texts: Sequence[str]) -> str:
    """HTML of a list of texts."""
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    head = "".join(_cell(name, value, "th") for name, value in rows[0].items())
    lines = ("".join(_cell(x, x) for x in row.values()) for row in rows[:MOST])
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    # Notebooks know the class: it is that of pandas' tables.
    return f'<table class="dataframe"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _cell(content: Any, like: Any, tag: str = "td") -> str:
    """A cell: texts stand at the left, numbers at the right."""
    text, side = str(content), "left" if isinstance(like, str) else "right"
    text = text if len(text) <= _WIDE else text[: _WIDE - 1] + "…"
    return f'<{tag} style="text-align: {side}">{escape(text)}</{tag}>'
