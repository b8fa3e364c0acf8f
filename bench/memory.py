"""How fast the memory is: python3 dev.py bench memory [--quick] [--full] [--million] [--only PART,...]

Parts: recall (and candidates against exact scores), opening, recording, together, readers, changing, and
with --reference PATH a checkout of the reference code beside ours. One table a part, in Markdown: medians,
the target beside the figure, and the ratio to a plain floor that is measured in the same run: reading as
many bytes of memory for a scan, write and fdatasync for a commit.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench._common import STEPS, facts
from bench._memory_beside import reference
from bench._memory_made import KINDS, STORED, WALKED, Sources
from bench._memory_recall import opening, recall
from bench._memory_record import changing, readers, recording, together
from bench._memory_tables import Asked, Table

PARTS: dict[str, Callable[[Asked], Iterator[Table]]] = {
    "recall": recall,
    "opening": opening,
    "recording": recording,
    "together": together,
    "readers": readers,
    "changing": changing,
    "reference": reference,
}

MILLION = 1_000_000
QUICK_KINDS = (STORED, "webshop", "default")


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a minute: smaller and fewer of everything")
    parser.add_argument("--full", action="store_true", help="100,000 experiences as well")
    parser.add_argument("--million", action="store_true", help="1,000,000 as well, for recall only")
    parser.add_argument("--n", help="sizes instead, smallest first, with commas between")
    parser.add_argument("--only", default="", help=f"of {','.join(PARTS)}; with commas")
    parser.add_argument("--kinds", help=f"similarities of recall; default {','.join(KINDS)}")
    parser.add_argument("--rounds", type=int, help="default 5")
    parser.add_argument("--queries", type=int, help="default 300")
    parser.add_argument("--commits", type=int, help="default 1000")
    parser.add_argument("--dir", type=Path, help="where memories go; default: the system's temporary folder")
    parser.add_argument("--postgres", help="URL of a database; schemas bench... are made in it, and stay")
    parser.add_argument("--reference", type=Path, help="a checkout of X-LANCE/Rememberer")
    parser.add_argument("--reference-python", default=sys.executable, help="its Python; default: this one")
    parser.add_argument("--json", type=Path, help="all rows as JSON as well")
    return parser.parse_args(arguments)


def asked_for(given: argparse.Namespace, folder: Path) -> Asked:
    """The measurements of these options."""
    sizes = [500, 2000] if given.quick else [500, 10_000]
    sizes += [100_000] if given.full or given.million else []
    sizes += [MILLION] if given.million else []
    if given.n:
        sizes = [int(size) for size in given.n.split(",")]
    commits = given.commits or (100 if given.quick else 1000)
    queries = given.queries or (60 if given.quick else 300)
    kinds = QUICK_KINDS if given.quick else KINDS
    needed = max(sizes) // STEPS + 3 * commits + 2 * queries
    return Asked(
        sizes=sizes,
        queries=queries,
        rounds=given.rounds or (1 if given.quick else 5),
        commits=commits,
        threads=(1, 4) if given.quick else (1, 4, 16),
        processes=(1, 2) if given.quick else (1, 4, 8),
        kinds=given.kinds.split(",") if given.kinds else kinds,
        opened=QUICK_KINDS[-1:] if given.quick else ("webshop", "default"),
        folder=folder,
        postgres=given.postgres,
        reference=given.reference,
        reference_python=given.reference_python,
        reference_sizes=(50, 100) if given.quick else (100, 500),
        sources=Sources(min(WALKED, needed)),
    )


def main(arguments: list[str] | None = None) -> int:
    """Measures what was asked for and prints it."""
    given = options(arguments)
    wanted = given.only.split(",") if given.only else list(PARTS)
    unknown = [name for name in wanted if name not in PARTS]
    if unknown:
        print(f"no part {unknown[0]!r}; known: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    print(f"{facts()}; {os.cpu_count()} cores", flush=True)
    tables = []
    with tempfile.TemporaryDirectory(dir=given.dir) as folder:
        asked = asked_for(given, Path(folder))
        for name in wanted:
            if name == "reference" and given.reference is None:
                continue
            for table in PARTS[name](asked):
                print(table.text(), flush=True)
                tables.append({"title": table.title, "note": table.note, "rows": table.rows})
    if given.json:
        given.json.write_text(json.dumps({"facts": facts(), "tables": tables}, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
