"""A foreach of ten thousand items, in memory that does not grow with it."""

from __future__ import annotations

import sys

from bench.measure import ROOT, Context, Figure, Memory, Result, bare, median, watch_memory

MEBIBYTE = 1 << 20
NARROW, WIDE = 1_000, 10_000
# What may be added per item: its place in the scheduler's books, not its data.
BYTES_PER_ITEM = 4_096


def run_wide(context: Context, width: int) -> Memory:
    folder = context.scratch / f"wide-{width}"
    folder.mkdir()
    (folder / "wide.py").write_bytes((ROOT / "bench" / "flows" / "wide.py").read_bytes())
    context.say(f"{width} items")
    return watch_memory([sys.executable, "wide.py", "run", "--width", str(width)], cwd=folder)


def wide(context: Context) -> Result:
    floor = median(bare(context.scratch) for _ in range(3))
    narrow = run_wide(context, NARROW)
    large = run_wide(context, WIDE)
    per_item = (large.largest - narrow.largest) / (WIDE - NARROW)
    told = (
        f"{large.largest / MEBIBYTE:.0f} MiB in the largest process, {large.together / MEBIBYTE:.0f} MiB in all, "
        f"{large.seconds:.1f} s"
    )
    detail = (
        f"{NARROW} items: {narrow.largest / MEBIBYTE:.0f} and {narrow.together / MEBIBYTE:.0f} MiB, {narrow.seconds:.1f} s; "
        f"{per_item:.0f} bytes per further item"
    )
    return Result(told, floor, per_item <= BYTES_PER_ITEM, detail)


FIGURES = (Figure("wide", "a foreach of 10,000 items", "at most 4 KiB of memory per further item", wide),)
