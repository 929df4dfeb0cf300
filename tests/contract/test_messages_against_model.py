"""Every message, route and error status, held against AWS's service model."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias, get_args, get_origin

import botocore.session
import pytest
from msgspec import Struct
from msgspec.structs import FieldInfo, fields

from thingmint.api.service import OPERATIONS
from thingmint.api.wire.errors import DATA_PLANE_ERRORS, ERRORS, INTERNAL_FAILURE, AccessDeniedName, ErrorMap
from thingmint.api.wire.operation import Operation
from thingmint.api.wire.planes import DATA_ROUTES, Plane
from thingmint.api.wire.reading.binding import BODY, HEADER, PATH, PAYLOAD, QUERY, Location, location_of
from thingmint.api.wire.reading.constraints import Constraint, translate_pattern
from thingmint.api.wire.reading.readers import is_required, shape_of
from thingmint.api.wire.routes import ROUTES
from thingmint.core.errors import AccessDenied

Json: TypeAlias = Mapping[str, Any]  # parsed JSON of a third party's format

LOADER = botocore.session.get_session().get_component("data_loader")
MODEL: Json = LOADER.load_service_model("iot", "service-2")
DATA_MODEL: Json = LOADER.load_service_model("iot-data", "service-2")
MODELS = {Plane.CONTROL: MODEL, Plane.DATA: DATA_MODEL}
SHAPES: Json = MODEL["shapes"]
LOCATIONS = {None: BODY, "uri": PATH, "querystring": QUERY, "header": HEADER}
SCALARS: dict[str, tuple[object, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "boolean": (bool,),
    "timestamp": (float, datetime),
    "double": (float,),
    "blob": (bytes,),
}
# The model's numbers of operations and of patterns that no message may use until they are translated.
OPERATIONS_OF_THE_MODEL = 272
UNTRANSLATED_CLASSES = {r"\p{C}", r"\p{L}"}


def by_name(operation: Operation) -> str:
    return operation.name


def shapes_of(operation: Operation) -> Json:
    shapes: Json = MODELS[operation.plane]["shapes"]
    return shapes


def input_of(operation: Operation) -> Json:
    shape: Json = shapes_of(operation)[MODELS[operation.plane]["operations"][operation.name]["input"]["shape"]]
    return shape


def location_in(shape: Json, name: str) -> Location:
    if shape.get("payload") == name:
        return PAYLOAD
    return LOCATIONS[shape["members"][name].get("location")]


@pytest.mark.parametrize(("model", "ours"), [(MODEL, ROUTES), (DATA_MODEL, DATA_ROUTES)], ids=["iot", "iot-data"])
def test_the_routes_are_those_of_the_model_and_all_of_them(model: Json, ours: Mapping[str, str]) -> None:
    assert {
        name: f"{operation['http']['method']} {operation['http']['requestUri']}"
        for name, operation in model["operations"].items()
    } == ours


def test_the_planes_share_no_name_and_have_the_numbers_of_operations_that_are_known() -> None:
    assert len(ROUTES) == OPERATIONS_OF_THE_MODEL
    assert not ROUTES.keys() & DATA_ROUTES.keys()
    assert DATA_MODEL["metadata"]["signingName"] in Plane.DATA.signed_for


@pytest.mark.parametrize("operation", OPERATIONS, ids=by_name)
def test_a_request_has_the_members_of_the_model_in_their_places(operation: Operation) -> None:
    assert operation.request is not None
    ours = {(field.encode_name, location_of(field), is_required(field)) for field in fields(operation.request)}

    shape = input_of(operation)
    assert ours == {
        (member.get("locationName", name), location_in(shape, name), name in shape.get("required", ()))
        for name, member in shape["members"].items()
    }


@pytest.mark.parametrize("operation", OPERATIONS, ids=by_name)
def test_the_members_of_a_request_have_the_types_and_limits_of_the_model(operation: Operation) -> None:
    assert operation.request is not None

    differences = list(_struct_differences(operation.request, input_of(operation), shapes_of(operation), limits=True))

    assert differences == []


@pytest.mark.parametrize("operation", OPERATIONS, ids=by_name)
def test_a_response_has_the_members_and_types_of_the_model(operation: Operation) -> None:
    output = MODELS[operation.plane]["operations"][operation.name].get("output")
    shapes = shapes_of(operation)
    shape = shapes[output["shape"]] if output else {"members": {}}

    if operation.response is None:
        assert shape["members"] == {}
    else:
        assert list(_struct_differences(operation.response, shape, shapes, limits=False)) == []


def test_the_statuses_of_errors_are_those_of_the_model() -> None:
    known = dict(ERRORS.values()) | {INTERNAL_FAILURE: 500}
    for name in AccessDeniedName:
        answer = ErrorMap(name).answer(AccessDenied("x"))
        known[answer.name] = answer.status

    modelled = {name: SHAPES[name]["error"]["httpStatusCode"] for name in known if name in SHAPES}

    assert modelled == {name: known[name] for name in modelled}
    assert modelled.keys() >= {"InvalidRequestException", "ThrottlingException", "UnauthorizedException"}
    assert "AccessDeniedException" not in modelled


def test_the_statuses_of_errors_of_the_data_plane_are_those_of_its_model() -> None:
    shapes = DATA_MODEL["shapes"]
    known = dict({**ERRORS, **DATA_PLANE_ERRORS}.values()) | {INTERNAL_FAILURE: 500}

    modelled = {name: shapes[name]["error"]["httpStatusCode"] for name in known if name in shapes}

    assert modelled == {name: known[name] for name in modelled}
    assert modelled.keys() >= {"ForbiddenException", "ThrottlingException", "GatewayTimeoutException"}


def test_the_patterns_of_the_model_can_be_translated_except_for_unicode_categories() -> None:
    untranslated = set()
    for shape in SHAPES.values():
        try:
            translate_pattern(shape.get("pattern", ""))
        except ValueError as refusal:
            untranslated.add(str(refusal).partition(" ")[0])

    assert untranslated == UNTRANSLATED_CLASSES


def _struct_differences(struct: type[Struct], shape: Json, shapes: Json, *, limits: bool) -> Iterator[str]:
    members = {member.get("locationName", name): member["shape"] for name, member in shape["members"].items()}
    ours = {field.encode_name: field for field in fields(struct)}
    if ours.keys() != members.keys():
        yield f"{struct.__name__} differs in {sorted(ours.keys() ^ members.keys())}"
    for name in ours.keys() & members.keys():
        yield from _member_differences(ours[name], shapes[members[name]], shapes, limits=limits)


def _member_differences(field: FieldInfo, shape: Json, shapes: Json, *, limits: bool) -> Iterator[str]:
    yield from _type_differences(field.encode_name, field.type, shape, shapes, limits=limits)


def _type_differences(name: str, annotation: object, shape: Json, shapes: Json, *, limits: bool) -> Iterator[str]:
    ours = shape_of(annotation)
    if limits:
        constraints = [extra for extra in ours.annotations if isinstance(extra, Constraint)]
        if constraints != _constraints(shape):
            yield f"{name} is limited by {constraints}, in the model by {_constraints(shape)}"
    match shape["type"]:
        case "structure":
            assert isinstance(ours.bare, type)
            assert issubclass(ours.bare, Struct)
            yield from _struct_differences(ours.bare, shape, shapes, limits=limits)
        case "list":
            assert get_origin(ours.bare) is list
            (element,) = get_args(ours.bare)
            yield from _type_differences(f"{name}[]", element, shapes[shape["member"]["shape"]], shapes, limits=limits)
        case "map":
            assert get_origin(ours.bare) is dict
            key, value = get_args(ours.bare)
            yield from _type_differences(f"{name}.key", key, shapes[shape["key"]["shape"]], shapes, limits=limits)
            yield from _type_differences(f"{name}.value", value, shapes[shape["value"]["shape"]], shapes, limits=limits)
        case "string" if "enum" in shape:
            assert isinstance(ours.bare, type)
            assert issubclass(ours.bare, StrEnum)
            if [member.value for member in ours.bare] != shape["enum"]:
                yield f"{name} has other values than {shape['enum']}"
        case scalar:
            if ours.bare not in SCALARS[scalar]:
                yield f"{name} is {ours.bare}, in the model {scalar}"


def _constraints(shape: Json) -> list[Constraint]:
    low, high = shape.get("min"), shape.get("max")
    if "enum" in shape or (low, high, shape.get("pattern")) == (None, None, None):
        return []
    if shape["type"] in ("integer", "long", "double"):
        return [Constraint(ge=low, le=high)]
    return [Constraint(min_length=low, max_length=high, pattern=shape.get("pattern"))]
