"""What all pages share: their frame, and the header fields they are sent with. Pure.

There is no script on them. Styles and images come from this node, forms go to it, and nothing
else is let in, so that a value of a data set that got through as markup could still do nothing.
"""

from typing import Final

from fileroom import __version__
from fileroom.http.refusals import Header
from fileroom.http.request import Request
from fileroom.web.markup import Child, Markup, element

MEDIA_TYPE: Final = "text/html; charset=utf-8"
POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
# `same-origin` and not `no-referrer`: under that a browser sends the form with `Origin: null`, like
# a page that hides where it is from, and the door refuses those. Other sites see neither.
HEADERS: Final[tuple[Header, ...]] = (
    (b"content-security-policy", POLICY.encode("ascii")),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


def place(request: Request, path: str) -> str:
    """The reference to a path of this node, under the prefix of a reverse proxy too."""
    return f"{request.prefix}{path}"


def page(request: Request, title: str, *content: Child) -> bytes:
    """A whole page.

    Args:
        title: says nothing of a patient: it stands in the browser's history.
    """
    body = element(
        "body",
        element("a", "Skip to the content", href="#content", class_="skip"),
        element(
            "header",
            element("a", "Fileroom", href=place(request, "/"), class_="brand"),
            element(
                "nav",
                element("a", "Studies", href=place(request, "/")),
                element("a", "Viewer", href=place(request, "/viewer/")),
                aria_label="Main",
            ),
        ),
        element("main", *content, id="content", tabindex="-1"),
        element("footer", element("p", f"Fileroom {__version__}. Not a medical device.")),
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{title} – Fileroom"),
        element("link", rel="icon", href=place(request, "/static/icon.svg"), type="image/svg+xml"),
        element("link", rel="stylesheet", href=place(request, "/static/page.css")),
    )
    return b"<!doctype html>\n" + element("html", head, body, lang="en").encode("utf-8") + b"\n"


def terms(*pairs: tuple[str, Child]) -> Markup:
    """A list of terms and what they are here; what is empty is left out."""
    return element(
        "dl",
        (
            element("div", element("dt", term), element("dd", told))
            for term, told in pairs
            if told not in ("", None)
        ),
    )
