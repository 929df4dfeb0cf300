"""How the names of a certificate become condition keys."""

import pytest

from thingmint.core.policies.certificate_variables import (
    certificate_keys,
    directory_name,
    escaped,
    unsubstitutable_certificate_keys,
)


def test_attribute_stands_for_its_first_value_an_index_for_one_and_list_for_all() -> None:
    keys = certificate_keys({"Subject.OrganizationalUnit": ("a", "b")})
    assert keys == {
        "iot:Certificate.Subject.OrganizationalUnit": ("a",),
        "iot:Certificate.Subject.OrganizationalUnit.0": ("a",),
        "iot:Certificate.Subject.OrganizationalUnit.1": ("b",),
        "iot:Certificate.Subject.OrganizationalUnit.List": ("a", "b"),
        "iot:Certificate.AvailableKeys": ("iot:Certificate.Subject.OrganizationalUnit",),
    }


def test_serial_number_of_the_certificate_has_one_value() -> None:
    assert certificate_keys({"SerialNumber": ("5",), "Subject.Title": ()}) == {
        "iot:Certificate.SerialNumber": ("5",),
        "iot:Certificate.AvailableKeys": ("iot:Certificate.SerialNumber",),
    }


def test_certificate_without_names_has_no_available_keys() -> None:
    assert certificate_keys({}) == {"iot:Certificate.AvailableKeys": ()}


def test_five_values_of_an_attribute_are_seen() -> None:
    keys = certificate_keys({"Issuer.Country": tuple("abcdef")})
    assert keys["iot:Certificate.Issuer.Country.List"] == tuple("abcde")
    assert "iot:Certificate.Issuer.Country.5" not in keys


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("Amazon Web Services O=Amazon.com Inc.", "Amazon Web Services O\\=Amazon.com Inc."),
        (',"\\+=<>;', '\\,\\"\\\\\\+\\=\\<\\>\\;'),
        ("plain #1", "plain #1"),
    ],
)
def test_special_characters_of_a_name_are_written_with_a_backslash(value: str, written: str) -> None:
    assert escaped(value) == written
    assert certificate_keys({"Subject.CommonName": (value,)})["iot:Certificate.Subject.CommonName"] == (written,)


def test_alternative_names_are_written_as_they_are() -> None:
    name = "Subject.AlternativeName.UniformResourceIdentifier"
    assert certificate_keys({name: ("urn:a=b",)})[f"iot:Certificate.{name}"] == ("urn:a=b",)


def test_directory_name_is_written_from_its_leaf() -> None:
    assert directory_name([("c", "US"), ("o", "A, B"), ("cn", "lamp")]) == "cn=lamp,o=A\\, B,c=US"


@pytest.mark.parametrize("value", ["*", "a$", "a+b", "what?", "#1", "x" * 1025])
def test_values_that_could_be_wildcards_or_are_too_long_are_no_variables(value: str) -> None:
    keys = certificate_keys({"Subject.CommonName": (value,)})
    assert "iot:certificate.subject.commonname" in unsubstitutable_certificate_keys(keys)


def test_other_values_are_variables_one_at_a_time() -> None:
    keys = certificate_keys({"Subject.CommonName": ("x" * 1024, "a*")})
    assert unsubstitutable_certificate_keys(keys) == {
        "iot:certificate.subject.commonname.1",
        "iot:certificate.subject.commonname.list",
        "iot:certificate.availablekeys",
    }
