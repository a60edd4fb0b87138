"""A page that describes an interface, made from its own OpenAPI: no script, nothing from elsewhere."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

TEMPLATE = Path(__file__).with_name("reference.html.j2")


def reference_page(api: Mapping[str, Any]) -> str:
    """The description of an interface as HTML.

    Args:
        api: Its OpenAPI.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.ChainableUndefined, trim_blocks=True)
    environment.filters["code"] = code
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(api=api)


def code(text: str) -> Markup:
    """A text whose parts in backticks are set as code.

    Example:
        >>> str(code("`a` < b"))
        '<code>a</code> &lt; b'
    """
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
