"""What a type checker sees in a flow file. Checked by mypy --strict and pyright, never run.

`assert_type` fails the check where the checker sees anything else.
"""

from __future__ import annotations

import datetime
from typing import Any, assert_type

from flowinfra import (
    DeploymentSpec,
    FlowSpec,
    IncludeFile,
    JSONType,
    Parameter,
    Resources,
    TaskEnvironment,
    catch,
    environment,
    resources,
    retry,
    step,
    timeout,
)

small = TaskEnvironment("small", image="img", resources=Resources(cpu=1, memory="1Gi"), env_vars={"A": "1"})
large = small.clone_with("large", resources=Resources(cpu=8))
assert_type(large, TaskEnvironment)


def today() -> datetime.date:
    return datetime.date(2024, 1, 2)


class Typed(FlowSpec):
    alpha = Parameter(default=0.1)
    depth = Parameter("depth", default=3, help="levels")
    name = Parameter(type=str, required=True)
    day = Parameter(type=datetime.date, default=today)
    flags = Parameter(default=[True])
    extra = Parameter(type=JSONType, default=None)
    query = IncludeFile(default="query.sql")

    @step
    def start(self) -> None:
        assert_type(self.alpha, float)
        assert_type(self.depth, int)
        assert_type(self.name, str)
        assert_type(self.day, datetime.date)
        assert_type(self.flags, list[bool])
        assert_type(self.query, Any)
        self.items = [1, 2, 3]
        self.next(self.fit, foreach="items", max_concurrency=2)

    @retry(times=2, delay="5s")
    @timeout("1h")
    @catch(var="problem")
    @resources(cpu=2)
    @environment({"A": "1"})
    @small.step
    def fit(self) -> None:
        self.score = self.alpha * self.depth
        assert_type(self.items, list[int])
        self.next(self.join)

    @retry
    @catch
    @large.step(retries=1, timeout=60, catch="why")
    def join(self, inputs: Any) -> None:
        self.merge_artifacts(inputs, exclude=["score"])
        self.next({"again": self.start, "done": self.end}, condition="verdict")

    @step
    def end(self) -> None:
        pass

    @retry(times=1)
    def ratio(self, part: int, whole: float = 1.0) -> float:
        return part / whole


def outside(flow: Typed) -> None:
    """Decorators keep the type of what they stand on; on the class a parameter is the parameter itself."""
    assert_type(flow.ratio(1, whole=2), float)
    assert_type(Typed.alpha, Parameter[float])
    assert_type(Typed.depth.name, str)
    assert_type(flow.fit(), None)
    assert_type(DeploymentSpec(Typed, "daily", parameters={"alpha": 1}, tags=["x"]).load(), type[FlowSpec])
