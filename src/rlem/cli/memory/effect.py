"""``rlem memory effect``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from rlem.cli.memory.common import FILE, VIEW, open_file


@click.command()
@FILE
@VIEW
@click.option("--json", "as_json", is_flag=True, help="As a JSON object.")
def effect(file: Path | str, view: str, as_json: bool) -> None:
    """What showing this memory does to outcomes, and what is muted because it does harm.

    Known where episodes were played under a control: rlem.open(..., control=0.2), or rlem train --control
    0.2. The interval holds however often one looks (docs/control.md).

    Example: rlem memory effect shop.rlem
    """
    from rlem.api.control import LogEvidence, effect_words, muted_words

    with open_file(file, view=view) as opened:
        evidence, location = LogEvidence(opened), opened.location
        found, muted = evidence.effect(), evidence.muted()
    if as_json:
        known = None if found is None else asdict(found)
        click.echo(json.dumps({"effect": known, "muted": [asdict(item) for item in muted]}, indent=2))
        return
    if found is None:
        click.echo(
            f"{location}: memory was never withheld, so its effect is not known: open it with control=0.2, "
            "say (docs/control.md)"
        )
        return
    control = found.control
    click.echo(f"{location}: {effect_words(found, low=control.low, high=control.high)}")
    click.echo(f"withheld with chance {control.chance:g}, outcomes {control.low:g} to {control.high:g}")
    if found.left_out:
        click.echo(
            f"{found.left_out} more controlled episodes are left out: played under another control, not "
            "verified, or after the memory was muted"
        )
    click.echo(muted_words([item.key for item in muted]) if control.guard else "no guard")
    for item in muted:
        said = effect_words(item.effect, low=control.low, high=control.high, what="effect")
        click.echo(f"  {item.key[:8] or 'memory'}  evidence of harm {item.evidence:.3g}; {said}")
