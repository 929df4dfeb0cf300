"""Owns the figure of what a decision of policies costs: the worst legal policies against those of a usual device."""

import json
import statistics
import time
from collections.abc import Sequence

from bench.figures.bystander import WORST
from bench.machine import ForeignLoad
from bench.measurement import Bound, Measurement, Skipped, Target
from bench.plan import Run
from thingmint.core.policies.authorizer import Authorizer
from thingmint.core.policies.budget import MAX_WEIGHT_IN_FORCE
from thingmint.core.policies.conditions import RequestContext
from thingmint.core.policies.iot_policy import parse_new_iot_policy
from thingmint.core.policies.language import Policy

ARN = "arn:aws:iot:us-east-1:000000000000:"
DECISIONS = 40
LONGEST_TOPIC = 256
USUAL = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": ARN + "client/${iot:ClientId}"},
        {
            "Effect": "Allow",
            "Action": ["iot:Publish", "iot:Receive"],
            "Resource": ARN + "topic/lamps/${iot:ClientId}/*",
        },
        {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": ARN + "topicfilter/lamps/${iot:ClientId}/*"},
    ],
}


def measure(run: Run) -> list[Measurement | Skipped]:
    """Measure decisions about topics that are new each time, in this process."""
    foreign = ForeignLoad()
    worst_policy = parse_new_iot_policy(WORST)
    worst_policies = [worst_policy] * (MAX_WEIGHT_IN_FORCE // worst_policy.weight)
    worst: list[float] = []
    usual: list[float] = []
    for _ in range(run.plan.latency_rounds):
        worst.append(_milliseconds(worst_policies, "a" * (LONGEST_TOPIC - 10)))
        usual.append(_milliseconds([parse_new_iot_policy(json.dumps(USUAL))], "lamps/lamp-1/on/"))
    return [
        Measurement(
            figure="policy-decision",
            title="a decision of the most expensive legal policies in force together",
            value=statistics.median(worst),
            unit="ms",
            target=Target(Bound.AT_MOST, 10.0),
            rounds=tuple(worst),
            n=f"{len(worst)} rounds of {DECISIONS} decisions",
            sides=f"worst: {len(worst_policies)} policies, {LONGEST_TOPIC} bytes of topic; usual: one, 3 patterns",
            parts={
                "worst_ms": statistics.median(worst),
                "usual_ms": statistics.median(usual),
                "worst_to_usual": statistics.median(worst) / statistics.median(usual),
            },
            foreign_share=foreign.share(),
        )
    ]


def _milliseconds(policies: Sequence[Policy], topic: str) -> float:
    authorizer = Authorizer(policies, RequestContext({"iot:ClientId": ("lamp-1",)}))
    began = time.thread_time()
    for number in range(DECISIONS):
        authorizer.decide("iot:Publish", f"{ARN}topic/{topic}{number:04}")
    return (time.thread_time() - began) * 1000 / DECISIONS
