"""Values on a Markdown page: whatever they hold, they stay text.

Records carry names of files, regexes and what a model answered. On the page such a value must
neither become markup nor end its table cell. Every value a template shows is escaped unless one of
the filters here has made it safe already.
"""

import re
import shlex
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tasks.core.errors import InputError

SPECIAL = re.compile(r"[&<>\"'|`*_\[\]\\#~$!(){}:@]")
PLAIN_CODE = re.compile(r"[^`|\\\s](?:[^`|\\\n]*[^`|\\\s])?")
"""What may stand between backticks, also in a table's cell."""
BREAKS = re.compile(r"[\x00-\x20\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")
STEP = 1000
PREFIXES = ("", "k", "M", "G", "T", "P")


def text(value: object) -> Markup:
    """A value as plain text: marks become character references, breaks become spaces."""
    flat = BREAKS.sub(" ", str(value)).strip()
    return Markup(SPECIAL.sub(lambda mark: f"&#{ord(mark[0])};", flat))  # noqa: S704


def code(value: object) -> Markup:
    """A value as inline code."""
    flat = BREAKS.sub(" ", str(value)).strip()
    if not flat:
        return Markup("")
    if PLAIN_CODE.fullmatch(flat):
        return Markup(f"`{flat}`")  # noqa: S704
    return Markup("<code>{}</code>").format(text(flat))


def word(value: object) -> Markup:
    """A value as one word of a shell command in a code block.

    Raises:
        InputError: it would end the line or the block.
    """
    quoted = shlex.quote(str(value))
    if BREAKS.search(quoted) or "`" in quoted:
        raise InputError("a value of the card cannot stand in a shell command", found=repr(value))
    return Markup(quoted)  # noqa: S704


def url(value: object) -> Markup:
    """A value as the address of a link."""
    return Markup(quote(str(value), safe=":/"))  # noqa: S704


def amount(count: float, unit: str = "") -> str:
    """Bytes or parameters with a decimal prefix: 20400000000 of `B` is 20.40 GB."""
    power = 0
    while count >= STEP and power < len(PREFIXES) - 1:
        count, power = count / STEP, power + 1
    shown = f"{count:.2f}" if power else f"{count:.0f}"
    return f"{shown} {PREFIXES[power]}{unit}".rstrip()


def _final(value: object) -> object:
    return value if isinstance(value, Markup) else text(value)


def environment() -> Environment:
    """Jinja2 for Markdown; a name that is not there is an error."""
    pages = Environment(
        loader=PackageLoader("tasks.upload"),
        autoescape=True,
        finalize=_final,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    pages.filters |= {"code": code, "word": word, "url": url, "amount": amount}
    return pages
