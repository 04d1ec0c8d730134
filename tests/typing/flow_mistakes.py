"""Mistakes that a type checker must see. Each ignore is needed: without an error it would itself be an error."""

from __future__ import annotations

from typing import Any

from flowinfra import FlowSpec, Parameter, TaskEnvironment, retry, step, timeout


class Mistaken(FlowSpec):
    alpha = Parameter(default=0.1)

    @step
    def start(self) -> None:
        self.alpha.upper()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        self.next(self.end, for_each="xs")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

    @step
    def end(self, inputs: Any) -> None:
        pass


retry(times="3")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
timeout(minutes="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
TaskEnvironment("a", imgae="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
