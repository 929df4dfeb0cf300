"""What a simulation makes in the registry and takes away again, against an API that notes what it is asked."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from thingmint.cli.connection import ServiceRefused, ServiceUnreachable, SignedClient
from thingmint.cli.simulation import api as api_module
from thingmint.cli.simulation.api import Api
from thingmint.cli.simulation.clean_up import remove_devices
from thingmint.cli.simulation.clients.device import Orders, SimulatedDevice
from thingmint.cli.simulation.measures import Measures
from thingmint.cli.simulation.preparation import CreatedResources, make_claim, make_template, parameters_of
from thingmint.cli.simulation.service import Service

ARN = "arn:aws:iot:us-east-1:000000000000:cert/"
CREATED = {
    "certificateId": "c1",
    "certificateArn": f"{ARN}c1",
    "certificatePem": "CERTIFICATE",
    "keyPair": {"PrivateKey": "KEY"},
}


@dataclass
class Registry(SignedClient):
    """Answers calls, and notes them. What is in ``failures`` is raised once for its call."""

    asked: list[str] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    answers: dict[str, object] = field(default_factory=dict)
    failures: dict[str, list[Exception]] = field(default_factory=dict)

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: object = None,
        extra_headers: Mapping[str, str] | None = None,
    ) -> dict[str, object]:
        call = f"{method} {path}"
        self.asked.append(call)
        if extra_headers:
            self.headers.append(extra_headers)
        if self.failures.get(call):
            raise self.failures[call].pop(0)
        if method == "GET" and path.startswith("/certificates/"):
            return {"certificateDescription": {"certificateArn": ARN + path.rpartition("/")[2]}}
        answer = self.answers.get(call, {})
        assert isinstance(answer, dict)
        return answer


def refused(name: str, retry_after: float = 0.0) -> ServiceRefused:
    return ServiceRefused(400, name, "no", retry_after)


@pytest.fixture
def registry() -> Registry:
    return Registry(answers={"POST /keys-and-certificate": CREATED})


@pytest.fixture
def api(registry: Registry) -> Api:
    return Api(registry)


def device(number: int, thing_name: str | None = "{device}") -> SimulatedDevice:
    orders = Orders(None, None, "t", {})  # type: ignore[arg-type] # it does not connect
    made = SimulatedDevice(f"sim-1-{number:05}", orders, Measures())
    made.certificate_id = f"d{number}"
    made.thing_name = None if thing_name is None else thing_name.replace("{device}", made.name)
    return made


def test_all_that_is_made_is_removed_the_last_one_first(api: Api, registry: Registry) -> None:
    made = CreatedResources()
    template = make_template(api, made, "sim-1")
    claim = make_claim(api, made, "sim-1", template)
    assert claim.private_key_pem == "KEY"
    assert made.names == [
        "policy sim-1-device",
        "provisioning template sim-1",
        "policy sim-1-claim",
        "claim certificate c1",
    ]
    registry.asked.clear()
    assert made.remove() == []
    assert registry.asked == [
        "PUT /certificates/c1",
        "DELETE /certificates/c1",
        "DELETE /policies/sim-1-claim",
        "DELETE /provisioning-templates/sim-1",
        "DELETE /policies/sim-1-device",
    ]
    assert made.names == []


def test_what_was_refused_is_somebody_elses_and_not_removed(api: Api, registry: Registry) -> None:
    registry.failures["POST /policies/sim-1-device"] = [refused("ResourceAlreadyExistsException")]
    made = CreatedResources()
    with pytest.raises(ServiceRefused):
        make_template(api, made, "sim-1")
    assert made.names == []


def test_what_was_not_answered_may_exist_and_is_removed(api: Api, registry: Registry) -> None:
    registry.failures["POST /provisioning-templates"] = [ServiceUnreachable("lost")]
    made = CreatedResources()
    with pytest.raises(ServiceUnreachable):
        make_template(api, made, "sim-1")
    registry.failures["DELETE /provisioning-templates/sim-1"] = [refused("ResourceNotFoundException")]
    assert made.remove() == []
    assert "DELETE /policies/sim-1-device" in registry.asked


def test_what_cannot_be_removed_is_named_and_the_rest_is_removed(api: Api, registry: Registry) -> None:
    made = CreatedResources()
    make_template(api, made, "sim-1")
    registry.failures["DELETE /provisioning-templates/sim-1"] = [refused("UnauthorizedException")]
    registry.failures["DELETE /policies/sim-1-device"] = [ServiceUnreachable("gone"), ServiceUnreachable("gone")]
    assert made.remove() == [
        "provisioning template sim-1: UnauthorizedException: no",
        "policy sim-1-device: gone",
    ]


def test_device_gives_its_name_for_each_parameter_without_a_default(api: Api, registry: Registry) -> None:
    parameters = {
        "Serial": {"Type": "String"},
        "Colour": {"Type": "String", "Default": "blue"},
        "AWS::IoT::Certificate::Id": {"Type": "String"},
    }
    registry.answers["GET /provisioning-templates/t"] = {"templateBody": json.dumps({"Parameters": parameters})}
    assert parameters_of(api, "t") == {"Serial": "{device}"}


@pytest.mark.parametrize("body", ["{", "[]", "{}", '{"Parameters": []}', '{"Parameters": {"a": 1}}'])
def test_template_that_cannot_be_read_asks_for_parameters(api: Api, registry: Registry, body: str) -> None:
    registry.answers["GET /provisioning-templates/t"] = {"templateBody": body}
    with pytest.raises(LookupError, match="--parameter"):
        parameters_of(api, "t")


def test_devices_are_removed_with_their_things(api: Api, registry: Registry) -> None:
    done: list[None] = []
    assert remove_devices(api, [device(1)], lambda: done.append(None)) == []
    assert registry.asked == [
        "GET /certificates/d1",
        "DELETE /things/sim-1-00001/principals",
        "PUT /certificates/d1",
        "DELETE /certificates/d1",
        "DELETE /things/sim-1-00001",
    ]
    assert registry.headers == [{"x-amzn-principal": f"{ARN}d1"}]
    assert len(done) == 1


def test_thing_that_is_not_named_after_the_device_stays(api: Api, registry: Registry) -> None:
    assert remove_devices(api, [device(1, "shared thing")], lambda: None) == []
    assert "DELETE /things/shared%20thing/principals" in registry.asked
    assert "DELETE /things/shared%20thing" not in registry.asked


def test_device_that_got_no_certificate_needs_no_removal(api: Api, registry: Registry) -> None:
    never = device(1, None)
    never.certificate_id = None
    assert remove_devices(api, [never], lambda: None) == []
    assert registry.asked == []


def test_certificate_that_is_gone_already_does_not_keep_its_thing(api: Api, registry: Registry) -> None:
    registry.failures["GET /certificates/d1"] = [refused("ResourceNotFoundException")]
    assert remove_devices(api, [device(1)], lambda: None) == []
    assert registry.asked == ["GET /certificates/d1", "DELETE /things/sim-1-00001"]


def test_device_that_was_cut_off_is_removed_with_what_it_never_heard_of(api: Api, registry: Registry) -> None:
    registry.answers["GET /principals/things"] = {"things": ["sim-1-00001"]}
    assert remove_devices(api, [device(1, None)], lambda: None) == []
    assert registry.asked == [
        "GET /certificates/d1",
        "GET /principals/things",
        "DELETE /things/sim-1-00001/principals",
        "PUT /certificates/d1",
        "DELETE /certificates/d1",
        "DELETE /things/sim-1-00001",
    ]


def test_certificate_without_a_thing_is_removed(api: Api, registry: Registry) -> None:
    assert remove_devices(api, [device(1, None)], lambda: None) == []
    assert registry.asked[-2:] == ["PUT /certificates/d1", "DELETE /certificates/d1"]


def test_devices_that_cannot_be_removed_are_counted_and_the_others_removed(api: Api, registry: Registry) -> None:
    registry.failures["DELETE /certificates/d1"] = [refused("UnauthorizedException")]
    registry.failures["GET /certificates/d2"] = [refused("UnauthorizedException")]
    done: list[None] = []
    troubles = remove_devices(api, [device(1), device(2), device(3)], lambda: done.append(None))
    assert troubles == ["2 devices: UnauthorizedException: no"]
    assert "DELETE /things/sim-1-00003" in registry.asked
    assert len(done) == 3


def test_busy_service_is_asked_again(api: Api, registry: Registry) -> None:
    registry.failures["POST /x"] = [refused("ThrottlingException"), refused("TooManyRequestsException")]
    assert api.call("POST", "/x") == {}
    assert len(registry.asked) == 3


def test_service_that_stays_busy_is_given_up(api: Api, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_module, "_PATIENCE_SECONDS", -1.0)
    registry.failures["POST /x"] = [refused("ThrottlingException")]
    with pytest.raises(ServiceRefused, match="ThrottlingException"):
        api.call("POST", "/x")


def test_what_may_be_repeated_is_asked_once_more_without_an_answer(api: Api, registry: Registry) -> None:
    registry.failures["DELETE /x"] = [ServiceUnreachable("an idle connection was closed")]
    assert api.call("DELETE", "/x") == {}
    registry.failures["POST /x"] = [ServiceUnreachable("it may have been done")]
    with pytest.raises(ServiceUnreachable):
        api.call("POST", "/x")


VARIABLES = {
    "AWS_ENDPOINT_URL_IOT": "https://192.0.2.1",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI",
}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Service]:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    return lambda endpoint=None, allow_remote=False: Service(tmp_path, endpoint, allow_remote=allow_remote)


def test_api_of_another_machine_is_refused_unless_it_is_allowed(service: Callable[..., Service]) -> None:
    with pytest.raises(LookupError, match="--allow-remote"):
        service().api()
    allowed = service(allow_remote=True)
    allowed.api()
    allowed.close()


def test_endpoint_that_is_named_goes_before_the_variable(service: Callable[..., Service]) -> None:
    named = service("https://127.0.0.1:1")
    named.api()
    named.close()


def test_ca_file_has_to_be_named_where_nothing_says_it(service: Callable[..., Service]) -> None:
    with pytest.raises(LookupError, match="--ca"):
        service().ca_file()
