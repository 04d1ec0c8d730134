"""Bundles and releases in the store: what is damaged there is found and written again."""

from __future__ import annotations

import pytest

import flowinfra.components as fic
from flowinfra import DeploymentSpec
from flowinfra.packaging.home import Home
from flowinfra.packaging.store import Store
from tests.components.conftest import Stack
from tests.components.flows import Small


def program() -> None:
    """A stack program with one deployment."""
    fic.FlowDeployment("small", DeploymentSpec(Small, name="d", parameters={"label": "x"}))


@pytest.mark.parametrize("folder", ["bundles", "releases"])
def test_what_is_damaged_in_the_store_is_repaired(stack: Stack, folder: str) -> None:
    """A refresh finds it gone, and the next up writes it from the project's cache."""
    stack.up(program)
    store = Store.open(Home.find(stack.folder).store_url)
    (key,) = store.list(folder)
    whole = store.get(key)
    store.put(key, whole[:100])
    stack.engine().refresh(stack.ref(program))
    stack.up(program)
    assert store.get(key) == whole
    assert not stack.up(program).has_changes
