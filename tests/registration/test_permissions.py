"""Whether a caller's policies allow all that a request needs, resource tags included."""

from collections.abc import Mapping

import pytest
from tests.support.registration.authority import caller_with

from thingmint.core.errors import AccessDenied
from thingmint.core.policies.language import Policy, parse_policy
from thingmint.registration.policies.authorization import Permission, authorize_all

OURS = "arn:aws:iot:eu-west-1:123456789012:policy/p"
GET = Permission("iot:GetPolicy", OURS)


class Tags:
    """Tags of one resource, and who asked for them."""

    def __init__(self, **tags: str) -> None:
        self._tags = tags
        self.asked: list[str] = []

    async def __call__(self, resource_arn: str) -> Mapping[str, str]:
        self.asked.append(resource_arn)
        return self._tags if resource_arn == OURS else {}


def allowing(condition: str = "{}", resource: str = "*", effect: str = "Allow") -> Policy:
    return parse_policy(
        '{"Version":"2012-10-17","Statement":['
        f'{{"Effect":"{effect}","Action":"*","Resource":"{resource}","Condition":{condition}}}]}}'
    )


LINE_7 = allowing('{"StringEquals":{"aws:ResourceTag/line":"7"}}')


async def test_every_permission_is_needed() -> None:
    iot_only = parse_policy('{"Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}')
    await authorize_all(caller_with(iot_only), (GET, GET), {}, Tags())
    with pytest.raises(AccessDenied, match="iam:PassRole on resource: role"):
        await authorize_all(caller_with(iot_only), (GET, Permission("iam:PassRole", "role")), {}, Tags())
    await authorize_all(caller_with(), (), {}, Tags())


async def test_the_condition_keys_of_a_permission_count_for_it_alone() -> None:
    passing = allowing('{"StringEquals":{"iam:PassedToService":"iot.amazonaws.com"}}')
    right = Permission("iam:PassRole", "role", {"iam:PassedToService": ("iot.amazonaws.com",)})
    await authorize_all(caller_with(passing), (right,), {}, Tags())
    with pytest.raises(AccessDenied):
        await authorize_all(caller_with(passing), (right, GET), {}, Tags())


async def test_the_tags_of_the_resource_are_condition_keys() -> None:
    await authorize_all(caller_with(LINE_7), (GET,), {}, Tags(line="7"))
    for other in (Tags(line="8"), Tags(Hall="7"), Tags()):
        with pytest.raises(AccessDenied):
            await authorize_all(caller_with(LINE_7), (GET,), {}, other)


@pytest.mark.parametrize(
    "asking",
    [
        LINE_7,
        allowing('{"Null":{"AWS:resourcetag/line":true}}'),
        allowing('{"StringEquals":{"aws:RequestTag/line":"${aws:ResourceTag/line}"}}'),
        allowing(resource="arn:aws:iot:*:*:policy/${aws:ResourceTag/owner, 'nobody'}"),
    ],
)
async def test_tags_are_read_for_a_caller_whose_policies_ask_for_them(asking: Policy) -> None:
    tags = Tags()
    with_all = caller_with(asking, allowing())
    await authorize_all(with_all, (GET, Permission("iot:ListPolicies", "*")), {}, tags)
    assert tags.asked == [OURS]


@pytest.mark.parametrize(
    ("policy", "resource"),
    [
        (allowing('{"Null":{"aws:RequestTag/line":true}}'), OURS),
        (allowing(), OURS),
        (allowing('{"Null":{"aws:ResourceTag/line":true}}'), OURS.replace("123456789012", "210987654321")),
        (allowing('{"Null":{"aws:ResourceTag/line":true}}'), OURS + "\0"),
    ],
)
async def test_tags_are_not_read_where_nobody_asks_or_may_ask(policy: Policy, resource: str) -> None:
    tags = Tags()
    await authorize_all(caller_with(policy), (Permission("iot:GetPolicy", resource),), {}, tags)
    assert tags.asked == []


async def test_a_deny_for_a_tag_wins() -> None:
    deny = allowing('{"StringEquals":{"aws:ResourceTag/frozen":"yes"}}', effect="Deny")
    await authorize_all(caller_with(allowing(), deny), (GET,), {}, Tags())
    with pytest.raises(AccessDenied, match="explicit deny"):
        await authorize_all(caller_with(allowing(), deny), (GET,), {}, Tags(frozen="yes"))
