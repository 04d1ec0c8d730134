"""A flow that its config shapes; its exit hooks print."""
# ruff: noqa: T201 - a flow prints

import os

from flowinfra import Config, FlowSpec, Parameter, config_expr, current, exit_hook, project, resources, step


def well(run):
    print(f"well: {run.pathspec} {run.successful} {run.data.total}")


def badly(run):
    print(f"badly: {run.successful}, é")
    raise ValueError("the hook itself")


def always():
    print("always")


@project(name="demo")
@exit_hook(on_success=[well, always], on_error=[badly, always])
class Tuned(FlowSpec):
    """A flow with a config."""

    config = Config("config", default="tuned.json", help="What it is tuned with.")
    scale = Parameter(default=config.scale)
    width = len(config.parts)

    @resources(cpu=config_expr("config.scale + 1"))
    @step
    def start(self):
        self.parts = self.config.parts
        self.where = (current.project_name, current.branch_name, current.project_flow_name, current.is_production)
        self.next(self.work, foreach="parts")

    @step
    def work(self):
        if self.index == 1 and os.path.exists("broken"):
            raise RuntimeError("asked to")
        self.size = self.input * self.config["scale"]
        self.next(self.join)

    @step
    def join(self, inputs):
        self.total = sum(i.size for i in inputs) + self.width
        self.next(self.end)

    @step
    def end(self):
        print("scale", self.scale, self.config.scale, "total", self.total)


if __name__ == "__main__":
    Tuned()
