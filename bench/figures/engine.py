"""The engines: previews without access, an unchanged `up` beside the real CLI, and state work by number of resources."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from bench.figures.stack import STACK, project
from bench.measure import ROOT, BenchError, Context, Figure, Result, bare, median, run, timed
from tests.engines.pulumi_cli import PulumiCli

FLOW = '''from flowinfra import DeploymentSpec, FlowSpec, Parameter, retry, step


class Flow{number}(FlowSpec):
    """One of many flows."""

    alpha = Parameter("alpha", default={number}, type=int)

    @step
    def start(self):
        self.items = list(range(3))
        self.next(self.work, foreach="items")

    @retry(times=2)
    @step
    def work(self):
        self.result = self.input * self.alpha
        self.next(self.join)

    @step
    def join(self, inputs):
        self.total = sum(i.result for i in inputs)
        self.next(self.end)

    @step
    def end(self):
        print(self.total)


spec = DeploymentSpec(Flow{number}, name="nightly", tags=["bench"])
'''
MAIN = """import importlib

import flowinfra.components as fic

for number in range({count}):
    spec = importlib.import_module(f"flow{{number}}").spec
    fic.export(fic.FlowDeployment(f"flow{{number}}", spec))
"""


def many(context: Context, count: int) -> Path:
    """A project with *count* deployments, each of a flow file of its own."""
    folder = context.scratch / f"many{count}"
    program = folder / "stacks"
    program.mkdir(parents=True)
    (folder / "Pulumi.yaml").write_text("name: many\nruntime: python\nmain: stacks/\n", encoding="utf-8")
    (folder / "Pulumi.dev.yaml").write_text("config: {}\n", encoding="utf-8")
    (program / "__main__.py").write_text(MAIN.format(count=count), encoding="utf-8")
    for number in range(count):
        (program / f"flow{number}.py").write_text(FLOW.format(number=number), encoding="utf-8")
    return folder


def offline(count: int, target: float) -> Figure:
    """The figure of a preview of *count* deployments against local state, without provider and passphrase."""

    def measure(context: Context) -> Result:
        folder = many(context, count)
        run([context.command, "up", *STACK, "--yes"], cwd=folder)
        state = json.loads((folder / ".flowinfra/state/.pulumi/stacks/many/dev.json").read_text(encoding="utf-8"))
        resources = len(state["checkpoint"]["latest"]["resources"])
        # One flow differs, so that there is something to say.
        file = folder / "stacks" / "flow0.py"
        file.write_text(file.read_text(encoding="utf-8").replace("times=2", "times=3"), encoding="utf-8")
        (folder / ".flowinfra" / "passphrase").unlink()
        command = [context.command, "preview", *STACK, "--offline", "--json"]
        plan = json.loads(run(command, cwd=folder))
        layers = [c["layer"] for change in plan["changes"] for c in (change.get("flow") or {}).get("changes", ())]
        if layers != ["policy"]:
            raise BenchError(f"the preview does not say what changed: {layers}")
        pairs = [(timed(command, cwd=folder), bare(folder)) for _ in range(context.runs)]
        seconds, floor = (median(column) for column in zip(*pairs, strict=True))
        detail = f"{resources} resources in the state; the flow files import flowinfra only"
        return Result(f"{seconds:.2f} s", floor, seconds < target, detail)

    noun = "deployment" if count == 1 else "deployments"
    return Figure(f"offline{count}", f"offline preview of {count} Local {noun}", f"under {target:g} s", measure)


def beside_the_cli(context: Context) -> Result:
    """An unchanged `up` of the example by both engines, on the same state."""
    found = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "engines.py"), "path", "pulumi"],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode != 0:
        raise BenchError("the Pulumi CLI is not built: run `make engines`")
    folder = project(context)
    scripts = Path(sys.executable).parent
    cli = PulumiCli.create(Path(found.stdout.strip()), context.scratch / "cli", path=(scripts,))
    env = {k: v for k, v in cli.environment.items() if k.startswith("PULUMI_")}
    ours = [context.command, "up", *STACK, "--yes"]
    theirs = ["pulumi", "up", *STACK, "--yes", "--non-interactive"]
    path = {**env, "PATH": os.pathsep.join([str(cli.engines), str(scripts), os.environ["PATH"]]), "HOME": str(cli.home)}
    run(ours, cwd=folder, env=env)
    run(theirs, cwd=folder, env=path)
    rounds = [
        (timed(ours, cwd=folder, env=env), timed(theirs, cwd=folder, env=path), bare(folder))
        for _ in range(context.runs)
    ]
    mine, other, floor = (median(column) for column in zip(*rounds, strict=True))
    return Result(
        f"{other / mine:.1f} times as fast ({mine:.2f} s beside {other:.2f} s)",
        floor,
        other / mine >= 2.5,
        "the example, both on the same state file",
    )


STATES = """
import json, sys, time
from pathlib import Path

import pulumi
from pulumi.provider.experimental import provider as sdk

from flowinfra.engine.base import StackRef
from flowinfra.engine.embedded import EmbeddedEngine
from flowinfra.engine.state.secrets import Passphrase


class Null(sdk.Provider):
    async def configure(self, request):
        return sdk.ConfigureResponse(accept_secrets=True, supports_preview=True)

    async def check(self, request):
        return sdk.CheckResponse(dict(request.new_inputs), [])

    async def diff(self, request):
        return sdk.DiffResponse(changes=request.old_state != request.new_inputs)

    async def create(self, request):
        return sdk.CreateResponse("" if request.preview else request.urn[-40:], dict(request.properties))

    async def delete(self, request):
        return None


class Thing(pulumi.CustomResource):
    def __init__(self, name, size):
        super().__init__("null:index:Thing", name, {"size": size})


def program():
    for number in range(count):
        Thing(f"thing-{number}", number)


count, root = int(sys.argv[1]), Path(sys.argv[2])
ref = StackRef("states", f"s{count}", root, program, root.as_uri())
engine = EmbeddedEngine({"null": Null}, passphrase=Passphrase(environment={"PULUMI_CONFIG_PASSPHRASE": "x"}))
out = {}
for word, operation in (("up", engine.up), ("unchanged", engine.up), ("destroy", engine.destroy)):
    started = time.perf_counter()
    operation(ref)
    out[word] = time.perf_counter() - started
print(json.dumps(out))
"""


def states(context: Context) -> Result:
    """Seconds per resource of creating, seeing unchanged and deleting ever more resources that cost nothing."""
    script = context.scratch / "states.py"
    script.write_text(STATES, encoding="utf-8")
    counts = (1250, 2500, 5000)
    each: dict[int, dict[str, float]] = {}
    for count in counts:
        context.say(f"{count} resources")
        folder = context.scratch / str(count)
        folder.mkdir()
        each[count] = json.loads(run([sys.executable, str(script), str(count), str(folder)], cwd=context.scratch))
    whole = {count: sum(words.values()) for count, words in each.items()}
    ratio = whole[counts[-1]] / whole[counts[-2]]
    detail = "; ".join(
        f"{word} " + ", ".join(f"{each[c][word] / c * 1e3:.2f}" for c in counts) + " ms each"
        for word in each[counts[0]]
    )
    return Result(
        f"{ratio:.2f} times",
        bare(context.scratch),
        ratio < 3,
        f"one run each at {', '.join(map(str, counts))} resources: {detail}",
    )


FIGURES = (
    offline(1, 0.8),
    offline(100, 3.0),
    Figure("cli", "unchanged `up` of the example beside the real CLI", "at least 2.5 times as fast", beside_the_cli),
    Figure(
        "states",
        "up, unchanged up and destroy of 5,000 resources against 2,500, in process",
        "linear: under 3 times",
        states,
    ),
)
