"""What a page of the book may load and run, told to the browser in its head: the book's own files, nothing
from outside, and no script that stands in the page itself.

So what a record, a column's name or a claim says could not run even if it were not escaped, nor be sent
anywhere. Styles may stand in a page, as in notebooks' tables: they can fetch nothing from outside.
"""

# `'self'` alone covers no local file in Firefox. From a server no page can load a `file:`.
OWN = "'self' file:"
STILL = {
    "default-src": "'none'",
    "style-src": f"{OWN} 'unsafe-inline'",
    "img-src": f"{OWN} data:",
    "base-uri": "'none'",
    "form-action": "'none'",
}
LIVE = STILL | {
    "script-src": OWN,
    "img-src": f"{OWN} data: blob:",  # blob: a picture on its way to the clipboard (bnbook.js)
    "connect-src": "'self'",  # the same, and the switch of editions, which asks whether a page is there
    "font-src": OWN,
    "worker-src": "blob:",  # the live training's arithmetic (live/ui.js)
    "form-action": OWN,  # the search
}


def meta(policy: dict[str, str]) -> str:
    """The element for a page's head, before all that it is to hold for."""
    said = "; ".join(f"{name} {value}" for name, value in policy.items())
    return f'<meta http-equiv="Content-Security-Policy" content="{said}">'
