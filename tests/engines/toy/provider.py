"""The package `toy`: resources are JSON files in a folder. One class, in process and as a plugin of the real engine."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pulumi.provider.experimental import provider as sdk
from pulumi.provider.experimental.property_value import PropertyValue

from flowinfra.model.partial import PartialFailure

VERSION = "0.1.0"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

#: Inputs that make another resource when they change.
REPLACING = ("kind", "name", "ref")
COMPARED = ("size", "tags", "kind", "ref", "payload", "sleep", "fail")


def plain(value: Any) -> Any:
    value = value.value if isinstance(value, PropertyValue) else value
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    return value


def valued(value: Any) -> PropertyValue:
    if isinstance(value, PropertyValue):
        return value
    if isinstance(value, dict):
        return PropertyValue({k: valued(v) for k, v in value.items()})
    if isinstance(value, list):
        return PropertyValue([valued(v) for v in value])
    return PropertyValue(float(value) if isinstance(value, int) and not isinstance(value, bool) else value)


class Toy(sdk.Provider):
    """`toy:index:Thing`: size, tags and payload are updated in place, kind, name and ref replace it.

    `fail` makes operations fail, `sleep` makes creating it take that many seconds (the file is there at once).
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self._folder = Path(folder or os.environ["TOY_DIR"])
        self._prefix = "toy"

    def _path(self, id_: str) -> Path:
        return self._folder / f"{id_}.json"

    def _write(self, id_: str, properties: Mapping[str, PropertyValue]) -> None:
        draft = self._folder.parent / f"{id_}.draft"
        draft.write_text(json.dumps(plain(properties)), encoding="utf-8")
        draft.rename(self._path(id_))  # whoever looks sees all of it or nothing

    async def configure(self, request: sdk.ConfigureRequest) -> sdk.ConfigureResponse:
        self._prefix = plain(request.args.get("prefix")) or "toy"
        return sdk.ConfigureResponse(
            accept_secrets=True, accept_resources=False, accept_outputs=False, supports_preview=True
        )

    async def check(self, request: sdk.CheckRequest) -> sdk.CheckResponse:
        new, old = dict(request.new_inputs), dict(request.old_inputs)
        if "name" not in new:
            seed = (request.random_seed or os.urandom(4)).hex()[:7]
            new["name"] = old.get("name") or PropertyValue(f"{request.name}-{seed}")
            new["__defaults"] = PropertyValue([PropertyValue("name")])
        failures = []
        size = plain(new.get("size"))
        if isinstance(size, float) and size < 0:
            failures.append(sdk.CheckFailure("size", "must be >= 0"))
        if plain(new.get("kind")) == "bad":
            failures.append(sdk.CheckFailure("kind", "must not be bad"))
        return sdk.CheckResponse(inputs=new, failures=failures)

    async def diff(self, request: sdk.DiffRequest) -> sdk.DiffResponse:
        old, new = plain(request.old_state), plain(request.new_inputs)
        keys = [
            k
            for k in dict.fromkeys([*new, *(k for k in old if k in COMPARED)])
            if k != "__defaults" and old.get(k) != new.get(k)
        ]
        replaces = [k for k in keys if k in REPLACING]
        kinds = sdk.PropertyDiffKind
        return sdk.DiffResponse(
            changes=bool(keys),
            diffs=keys,
            replaces=replaces,
            stables=["id", "arn"],
            delete_before_replace=new.get("fixed") is True,
            detailed_diff={
                k: sdk.PropertyDiff(kinds.UPDATE_REPLACE if k in replaces else kinds.UPDATE, False) for k in keys
            },
        )

    async def create(self, request: sdk.CreateRequest) -> sdk.CreateResponse:
        properties = dict(request.properties)
        if request.preview:
            return sdk.CreateResponse("", properties)
        if plain(properties.get("fail")):
            raise ValueError("the toy cloud refuses\nask its owner")
        id_ = f"{self._prefix}-{uuid.uuid4().hex[:8]}"
        self._write(id_, properties)
        await asyncio.sleep(plain(properties.get("sleep")) or 0)
        made = {
            **properties,
            "arn": PropertyValue(f"arn:toy:{id_}"),
            "token": PropertyValue(f"tok-{id_}", is_secret=True),
        }
        if self.sick:
            raise PartialFailure(id_, made, ["it does not start", "nobody knows why"])
        return sdk.CreateResponse(id_, made)

    @property
    def sick(self) -> bool:
        """Whether what is made or changed now does not work: while there is a file `sick` beside the cloud."""
        return (self._folder.parent / "sick").exists()

    async def update(self, request: sdk.UpdateRequest) -> sdk.UpdateResponse:
        if request.preview:
            return sdk.UpdateResponse({**request.olds, **request.news})
        if plain(request.news.get("fail")):
            raise ValueError("the toy cloud refuses")
        self._write(request.resource_id, request.news)
        kept = {"arn": request.olds["arn"], "token": request.olds["token"].with_secret(True)}
        if self.sick:
            raise PartialFailure(request.resource_id, {**request.news, **kept}, ["it does not start again"])
        return sdk.UpdateResponse({**request.news, **kept})

    async def read(self, request: sdk.ReadRequest) -> sdk.ReadResponse:
        path = self._path(request.resource_id)
        if not path.exists():
            return sdk.ReadResponse("", {}, {})
        live = json.loads(path.read_text(encoding="utf-8"))

        def refreshed(old: Mapping[str, PropertyValue]) -> dict[str, PropertyValue]:
            return {k: valued(live[k]) if k in live and plain(v) != live[k] else v for k, v in old.items()}

        if self.sick:
            raise PartialFailure(request.resource_id, refreshed(request.properties), ["it is down"])
        return sdk.ReadResponse(request.resource_id, refreshed(request.properties), refreshed(request.inputs))

    async def find(self, request: Any) -> sdk.ReadResponse | None:
        """What creating it with these inputs has made: the file with this kind and the name that was drawn for it.

        A name that the user chose may be anybody's.
        """
        inputs = plain(request.inputs)
        if "name" not in (inputs.get("__defaults") or ()):
            return None
        for path in sorted(self._folder.glob("*.json")):
            try:
                live = json.loads(path.read_text(encoding="utf-8"))
            except FileNotFoundError:
                continue
            if live.get("name") == inputs.get("name") and live.get("kind") == inputs.get("kind"):
                made = {k: valued(v) for k, v in live.items()}
                token = PropertyValue(f"tok-{path.stem}", is_secret=True)
                arn = PropertyValue(f"arn:toy:{path.stem}")
                return sdk.ReadResponse(path.stem, {**made, "arn": arn, "token": token}, made)
        return sdk.ReadResponse("", {}, {})

    async def delete(self, request: sdk.DeleteRequest) -> None:
        if plain(request.properties.get("fail")) == "delete":
            raise ValueError("the toy cloud keeps it")
        self._path(request.resource_id).unlink(missing_ok=True)

    async def invoke(self, request: sdk.InvokeRequest) -> sdk.InvokeResponse:
        if request.tok == "toy:index:refuse":
            return sdk.InvokeResponse({}, [sdk.CheckFailure("x", "not this one")])
        echo = plain(request.args.get("x")) if "x" in request.args else ""
        return sdk.InvokeResponse({"accountId": PropertyValue("123456789012"), "echo": PropertyValue(echo)})


if __name__ == "__main__":
    from flowinfra_providers.serving import serve

    serve(sys.argv[1:], VERSION, Toy())
