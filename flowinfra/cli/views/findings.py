"""The findings of a plan as text."""

from __future__ import annotations

from collections.abc import Iterable

from flowinfra.cli.console import Console
from flowinfra.cli.views.diagnostics import as_text
from flowinfra.diagnostics import Diagnostic, Severity, Source
from flowinfra.model.plan import Finding

__all__ = ["findings_text"]


def findings_text(findings: Iterable[Finding], console: Console) -> str:
    """The findings, errors first."""
    return as_text(
        (
            Diagnostic(
                f.code, Severity(f.severity), f.summary, f.detail, f.hint, Source(f.source) if f.source else None
            )
            for f in findings
        ),
        console,
    )
