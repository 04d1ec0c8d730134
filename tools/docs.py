"""Write the generated pages of docs/ and check the links of every Markdown file.

    python tools/docs.py            write what is generated, then check
    python tools/docs.py --check    write nothing; a page that is not up to date is an error

Exit codes: 0 all is right; 1 something is not, each finding on a line of its own.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[1]
# The folders that hold no documentation of ours.
SKIPPED = {".git", ".venv", ".flowinfra", ".hypothesis", ".pytest_cache", "node_modules", "build", "dist"}

RANGES = {
    "1": "Authoring: the flow file",
    "2": "Graph: the steps and how they connect",
    "3": "Target and quota: what an orchestrator can do",
    "4": "Packaging: bundle, release, store",
    "5": "Access and policy",
    "6": "Plan and engine: stack, state, locks, secrets",
    "7": "Runtime: runs and tasks",
    "8": "Control and server: reading and operating runs",
    "9": "Configuration: project, stack, settings, command line",
}

FENCE = re.compile(r"^ {0,3}(```+|~~~+).*?^ {0,3}\1[`~]* *$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *#* *$", re.MULTILINE)


def diagnostics_index(folder: Path) -> str:
    """The table of all diagnostic codes, out of the titles of their pages."""
    lines = [
        "# Diagnostics",
        "",
        "Every message of flowinfra has a code. Its first digit says where it comes from.",
        "This page is generated out of the pages beside it: run `make docs` after you add one.",
    ]
    pages = sorted(folder.glob("FI*.md"))
    for digit, title in RANGES.items():
        rows = [page for page in pages if page.stem[2:3] == digit]
        if rows:
            lines += ["", f"## FI{digit}xx {title}", "", "| Code | What it says |", "| --- | --- |"]
            lines += [f"| [{page.stem}]({page.name}) | {summary(page)} |" for page in rows]
    return "\n".join(lines) + "\n"


def summary(page: Path) -> str:
    """What stands behind the code in the title; a `|` would end the table's cell."""
    title = page.read_text(encoding="utf-8").partition("\n")[0]
    return title.partition(": ")[2].strip().replace("|", "\\|")


def decisions_index(folder: Path) -> str:
    """The list of decisions, out of their titles and states."""
    lines = [
        "# Decisions",
        "",
        "Why things are as they are: one short record each, numbered in the order in which they were made.",
        "A record is not rewritten when we learn better: a new one says what changed and names the old one.",
        "This page is generated out of the records: run `make docs` after you add one.",
        "",
        "| No. | Decision |",
        "| --- | --- |",
    ]
    for page in sorted(folder.glob("[0-9]*.md")):
        title = page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        number, _, text = title.partition(". ")
        if not number.isdigit() or not text:
            sys.exit(f"{page.name}: its first line is not `# <number>. <title>`")
        lines.append(f"| {number} | [{text}]({page.name}) |")
    return "\n".join(lines) + "\n"


def generated() -> dict[Path, str]:
    """Each generated page with what it has to hold."""
    docs = ROOT / "docs"
    return {
        docs / "diagnostics" / "README.md": diagnostics_index(docs / "diagnostics"),
        docs / "decisions" / "README.md": decisions_index(docs / "decisions"),
    }


def markdown_files() -> Iterator[Path]:
    """Every Markdown file of the repository."""
    for file in sorted(ROOT.rglob("*.md")):
        if not SKIPPED.intersection(file.relative_to(ROOT).parts):
            yield file


def prose(text: str) -> str:
    """*text* without its code, whose brackets are no links; line numbers stay."""

    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match[0])

    return CODE.sub(blank, FENCE.sub(blank, text))


def anchors(file: Path) -> set[str]:
    """The anchors that the headings of *file* make."""
    text = FENCE.sub("", file.read_text(encoding="utf-8"))
    found: set[str] = set()
    for heading in HEADING.findall(text):
        plain = re.sub(r"[^\w\- ]", "", LINK.sub("", heading).lower()).replace(" ", "-")
        number = 0
        anchor = plain
        while anchor in found:
            number += 1
            anchor = f"{plain}-{number}"
        found.add(anchor)
    return found


def broken_links(file: Path) -> Iterator[str]:
    """What is wrong with the relative links of *file*."""
    text = prose(file.read_text(encoding="utf-8"))
    for match in LINK.finditer(text):
        target = match[1]
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        place = f"{file.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}"
        path, _, anchor = target.partition("#")
        goal = (file.parent / unquote(path)).resolve() if path else file
        if not goal.exists():
            yield f"{place}: {target} does not exist"
        elif anchor and goal.suffix == ".md" and anchor not in anchors(goal):
            yield f"{place}: {goal.name} has no heading for #{anchor}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="docs.py", description="Write the generated pages, check the links.")
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args(arguments).check

    findings = []
    for page, text in generated().items():
        if page.exists() and page.read_text(encoding="utf-8") == text:
            continue
        if check:
            findings.append(f"{page.relative_to(ROOT)}: not up to date, run `make docs`")
        else:
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(text, encoding="utf-8")
            print(f"wrote {page.relative_to(ROOT)}")
    for file in markdown_files():
        findings += broken_links(file)
    for finding in findings:
        print(finding, file=sys.stderr)
    return 1 if findings else 0


if __name__ == "__main__":
    raise SystemExit(main())
