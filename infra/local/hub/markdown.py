"""Markdown to HTML that is safe to show: no markup of the author's own, no script links."""

import posixpath
import re
from collections.abc import Iterable
from itertools import pairwise
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

_WORD = re.compile(r"[^\w]+")
# html=False shows tags as text; the parser itself refuses javascript:, vbscript:, file: and data:
_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def render(text: str, repo_path: str, revision: str, file_path: str) -> Markup:
    """``text`` as HTML; its relative links lead to the files beside ``file_path``.

    Args:
        text: Markdown.
        repo_path: The repository's path on this site, percent-encoded.
        revision: The revision shown, percent-encoded.
        file_path: Where the text lies in the repository.
    """
    tokens = _PARSER.parse(text)
    for token, following in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", _WORD.sub("-", following.content.lower()).strip("-"))
    folder = posixpath.dirname(file_path)
    for token in _flat(tokens):
        if token.type == "link_open":
            _point(token, "href", folder, f"/{repo_path}/blob/{revision}")
            token.attrSet("rel", "nofollow noopener noreferrer")
        elif token.type == "image":
            _point(token, "src", folder, f"/{repo_path}/resolve/{revision}")
    return Markup(_PARSER.renderer.render(tokens, _PARSER.options, {}))  # noqa: S704 - see above


def _flat(tokens: Iterable[Token]) -> Iterable[Token]:
    for token in tokens:
        yield token
        yield from _flat(token.children or ())


def _point(token: Token, attribute: str, folder: str, base: str) -> None:
    target = str(token.attrGet(attribute) or "")
    parts = urlsplit(target)
    if parts.scheme or parts.netloc or not parts.path or parts.path.startswith("/"):
        return
    path = posixpath.normpath(posixpath.join(folder, parts.path))
    if not path.startswith(".."):
        token.attrSet(attribute, parts._replace(path=f"{base}/{path}").geturl())
