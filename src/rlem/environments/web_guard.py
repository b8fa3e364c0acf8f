"""Which requests a site at one's own machine answers: those that no other site has made a browser send."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from urllib.parse import urlsplit

_LOCAL = frozenset({"127.0.0.1", "localhost", "[::1]"})
_HOST = re.compile(r"(\[[0-9a-f:.%]+\]|[^\s:@/\[\]]+)(:\d*)?", re.IGNORECASE)


def known_hosts(served_at: str) -> Callable[[str], bool]:
    """Whether a Host header names this machine or what the site is served at; any may for 0.0.0.0 and ::.

    Refusing the others keeps out a site whose name was given this machine's address (DNS rebinding).

    >>> is_known = known_hosts("192.0.2.7")
    >>> [is_known(host) for host in ("192.0.2.7:8000", "LOCALHOST", "[::1]:80", "shop.example", "")]
    [True, True, True, False, False]
    """
    known = set(_LOCAL)
    try:
        address = ipaddress.ip_address(served_at)
    except ValueError:
        known.add(served_at.lower())
    else:
        if address.is_unspecified:
            return lambda host: True
        known.add(f"[{address}]" if address.version == 6 else str(address))

    def is_known(host: str) -> bool:
        found = _HOST.fullmatch(host)
        return found is not None and found[1].lower() in known

    return is_known


def is_own_form(host: str, origin: str | None, sent_from: str | None) -> bool:
    """Whether a form was sent from a page of the host it is sent to, or by a program that is no browser.

    The headers Host, Origin and Sec-Fetch-Site; None for one that was not sent.

    >>> is_own_form("localhost:8000", "http://localhost:8000", None), is_own_form("localhost", None, None)
    (True, True)
    >>> is_own_form("localhost:8000", "http://localhost:9000", None)
    False
    """
    if sent_from not in ("same-origin", "none", None):
        return False
    if origin is None:
        return True
    try:
        place = urlsplit(origin).netloc  # empty for "null", an origin that is kept secret
    except ValueError:
        return False
    return place != "" and place.lower() == host.lower()
