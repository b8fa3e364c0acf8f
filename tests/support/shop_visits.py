"""A visit to the shop's site, as a browser makes it."""

from __future__ import annotations

from typing import Any

from rlem.environments.webshop import html


def begin(client: Any, number: int = 1) -> str:
    """Starts a visit; the address of its first page."""
    answer = client.post(f"/tasks/{number}")
    assert answer.status_code == 303
    return str(answer.headers["Location"])


def act(client: Any, address: str, action: str) -> str:
    """Sends an action as the page's form does; the address that it leads to."""
    data = {"action": action}
    if action.startswith("search["):
        data = {"action": html.SEARCH, "words": action[7:-1]}
    answer = client.post(address, data=data)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["Location"])


def see(client: Any, address: str) -> str:
    """The page at an address."""
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    return str(answer.text)
