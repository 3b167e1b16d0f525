"""Clients that generators make from the gateway's description read trainings through a real one."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from gateway.core.upstream.training import _FIELDS as FIELDS
from tests.system.commands import CALLER, TOKEN, Gateway, address, simulator

ONE, MISSING = "trn_000001", "trn_999999"


@dataclass(frozen=True, slots=True)
class World:
    """A gateway in front of a simulated API without a limit, and its description in a file."""

    gateway: Gateway
    upstream: str
    description: Path
    folder: Path

    def read(self, training_id: str) -> httpx.Response:
        """The training as plain HTTP has it."""
        url = f"{self.gateway.data}/training/{training_id}"
        return httpx.get(url, headers=CALLER, trust_env=False, timeout=30)

    def order(self, url: str, **body: object) -> None:
        """Give an order to the gateway or to the simulated API."""
        httpx.post(url, json=body, trust_env=False, timeout=30).raise_for_status()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Both servers, and what the gateway says of itself at /openapi.json."""
    folder = tmp_path_factory.mktemp("generated")
    with simulator(folder, "--limit", "0") as process:
        upstream = address(process)
        gateway = Gateway(folder, upstream, GATEWAY_UPSTREAM__RATE_LIMIT="unlimited")
        with gateway.process:
            description = folder / "openapi.json"
            said = httpx.get(f"{gateway.data}/openapi.json", trust_env=False, timeout=30)
            description.write_bytes(said.content)
            yield World(gateway, upstream, description, folder)


def _generate(*command: str) -> None:
    tools = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    subprocess.run(
        [str(tools / command[0]), *command[1:]], env=environment, check=True, timeout=100
    )


def _imported(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Functions:
    """The client of openapi-python-client: functions that send requests, and return objects."""

    def __init__(self, world: World) -> None:
        output = world.folder / "generated_client"
        said = ("--path", str(world.description), "--meta", "none", "--output-path", str(output))
        _generate("openapi-python-client", "generate", "--fail-on-warning", *said)
        package = _imported("generated_client", output / "__init__.py")
        self.types = importlib.import_module("generated_client.models")
        self._get = importlib.import_module("generated_client.api.default.get_training")
        options = {"trust_env": False}
        self.client = package.AuthenticatedClient(
            base_url=world.gateway.data, token=TOKEN, httpx_args=options
        )

    def read(self, training_id: str) -> Any:
        """The answer to `get_training`, with `status_code`, `headers` and `parsed`."""
        return self._get.sync_detailed(training_id, client=self.client)


@pytest.fixture(scope="module")
def functions(world: World) -> Iterator[Functions]:
    """Generated once, with one connection."""
    functions = Functions(world)
    with functions.client:
        yield functions


@pytest.fixture(scope="module")
def models(world: World) -> ModuleType:
    """The models of datamodel-code-generator, for a client with an HTTP library of its own."""
    output = world.folder / "generated_models.py"
    _generate(
        *("datamodel-codegen", "--input", str(world.description), "--input-file-type", "openapi"),
        *("--output", str(output), "--output-model-type", "pydantic_v2.BaseModel"),
        *("--formatters", "builtin", "--target-python-version", "3.11"),
    )
    return _imported("generated_models", output)


def test_functions_return_all_fields_of_a_training(world: World, functions: Functions) -> None:
    """With their types; nothing that the API sent is lost."""
    sent = world.read(ONE).json()

    answer = functions.read(ONE)

    training = answer.parsed
    assert isinstance(training, functions.types.Training)
    assert training.to_dict() == sent | _dates(training, sent)
    assert sent.keys() == FIELDS.keys()
    assert training.type_ is functions.types.TrainingType(sent["type"])
    assert training.draft_title is None
    assert answer.headers["cache-status"].startswith("gateway; hit")


def _dates(training: Any, sent: dict[str, Any]) -> dict[str, Any]:
    """The dates as the client writes them, if they are the same points in time."""
    told = training.to_dict()
    dates = [name for name in ("created_at", "updated_at", "published_at") if sent[name]]
    assert all(getattr(training, name).tzinfo is not None for name in dates)
    return {name: told[name] for name in dates}


@pytest.mark.parametrize(
    ("revision", "training_id"),
    [("metadata", "trn_000002"), ("typeless", "trn_000003"), ("new-channel", "trn_000004")],
)
def test_clients_read_a_training_that_has_changed_its_form(
    world: World, functions: Functions, models: ModuleType, revision: str, training_id: str
) -> None:
    """A field more, a field less, a word that the description does not know."""
    world.order(f"{world.upstream}/_control/revision", name=revision)
    body = world.read(training_id).content
    world.order(f"{world.upstream}/_control/revision", name="current")
    sent = json.loads(body)

    parsed = functions.read(training_id).parsed
    model = models.Training.model_validate_json(body)

    assert parsed.to_dict().keys() == sent.keys()
    assert model.model_dump(exclude_unset=True).keys() == sent.keys()
    assert parsed.restricted_to_channels == model.restricted_to_channels
    assert list(model.restricted_to_channels) == sent["restricted_to_channels"]


def test_models_read_all_fields_of_a_training(world: World, models: ModuleType) -> None:
    """With their types: dates with a time zone, nulls, enums."""
    answer = world.read(ONE)

    training = models.Training.model_validate_json(answer.content)

    assert training.model_dump(exclude_unset=True).keys() == FIELDS.keys()
    assert training.type == models.TrainingType(answer.json()["type"])
    assert training.updated_at.tzinfo is not None
    assert training.draft_title is None


def test_clients_tell_the_404_of_a_training_from_that_of_a_path(
    world: World, functions: Functions, models: ModuleType
) -> None:
    """The API's error for an id that it does not have, a problem for a path that is wrong."""
    path = httpx.get(f"{world.gateway.data}/trainings/{ONE}", trust_env=False, timeout=30)

    answer = functions.read(MISSING)
    refusal = models.Refusal.model_validate_json(path.content).root

    assert (answer.status_code, path.status_code) == (404, 404)
    assert isinstance(answer.parsed, functions.types.ApiError)
    assert answer.parsed.status_code == 404
    assert isinstance(refusal, models.Problem)
    assert refusal.type == models.ProblemType("urn:gateway:problem:no-such-route")


def test_clients_read_a_503_as_a_problem(
    world: World, functions: Functions, models: ModuleType
) -> None:
    """With its word, and the time after which to come back."""
    world.order(f"{world.gateway.admin}/mode", mode="frozen")
    answer = functions.read("trn_000009")
    body = world.read("trn_000009").content
    world.order(f"{world.gateway.admin}/mode", mode="normal")

    problem = models.Problem.model_validate_json(body)

    assert answer.status_code == 503
    assert isinstance(answer.parsed, functions.types.Problem)
    assert answer.parsed.type_ == problem.type == "urn:gateway:problem:frozen"
    assert int(answer.headers["retry-after"]) >= 1


def test_clients_read_a_401_of_the_gateway_and_of_the_api(world: World, models: ModuleType) -> None:
    """Without a token it is the gateway's, with a wrong one the API's."""
    url = f"{world.gateway.data}/training/{ONE}"
    wrong = {"Authorization": "Bearer no-such-token"}
    answers = [
        httpx.get(url, headers=headers, trust_env=False, timeout=30) for headers in ({}, wrong)
    ]

    refusals = [models.Refusal.model_validate_json(answer.content).root for answer in answers]

    assert [answer.status_code for answer in answers] == [401, 401]
    assert [type(refusal) for refusal in refusals] == [models.Problem, models.ApiError]
