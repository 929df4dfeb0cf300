"""Owns the subscriptions of one account's sessions: which are granted, their number, and their retained messages."""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from thingmint.core.topics.names import InvalidTopic, is_reserved, parse_filter
from thingmint.mqtt.broker.message_flow import MessageFlow
from thingmint.mqtt.broker.session import Session
from thingmint.mqtt.codec.packets import QoS, RetainHandling, Subscription
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.counters import Counters, Loss

_GRANTED: Final = {QoS.AT_MOST_ONCE: ReasonCode.GRANTED_QOS_0, QoS.AT_LEAST_ONCE: ReasonCode.GRANTED_QOS_1}


class Subscribing:
    """Adds subscriptions to sessions and to the router, and removes them from both."""

    __slots__ = ("_counters", "_flow", "count")

    def __init__(self, flow: MessageFlow, counters: Counters) -> None:
        self._flow = flow
        self._counters = counters
        self.count = 0
        """How many subscriptions there are."""

    def subscribe(self, session: Session, subscription: Subscription, room: int, now: float) -> ReasonCode:
        """Add or replace a subscription of a session, which may have ``room`` of them; return SUBACK's code."""
        try:
            topic_filter = parse_filter(subscription.topic_filter)
        except InvalidTopic:
            return ReasonCode.TOPIC_FILTER_INVALID
        if is_reserved(topic_filter.pattern):
            return ReasonCode.TOPIC_FILTER_INVALID
        is_new = topic_filter.text not in session.subscriptions
        if is_new and len(session.subscriptions) >= room:
            self._counters.lost(Loss.SUBSCRIPTION_LIMIT)
            return ReasonCode.QUOTA_EXCEEDED
        granted = subscription
        if subscription.qos > QoS.AT_LEAST_ONCE:
            granted = replace(subscription, qos=QoS.AT_LEAST_ONCE)
        session.subscriptions[topic_filter.text] = topic_filter
        self.count += is_new
        self._flow.router.add(session.client_id, topic_filter, granted, is_present=session.is_receiving)
        if topic_filter.group is not None:
            session.shared_filters += (topic_filter.text,) if is_new else ()
        elif granted.retain_handling is RetainHandling.ALWAYS or (
            granted.retain_handling is RetainHandling.ONLY_IF_NEW and is_new
        ):
            # A pattern with wildcards is not a topic, so it has no retained message; AWS does the same.
            self._flow.put_retained(session, topic_filter.pattern, granted.qos, now)
        return _GRANTED[granted.qos]

    def unsubscribe(self, session: Session, topic_filters: Sequence[str]) -> None:
        """End the subscriptions; ignore filters without one."""
        for text in topic_filters:
            topic_filter = session.subscriptions.pop(text, None)
            if topic_filter is not None:
                session.shared_filters = tuple(each for each in session.shared_filters if each != text)
                self._flow.router.discard(session.client_id, topic_filter)
                self.count -= 1

    def end_all(self, session: Session) -> None:
        """End all subscriptions of a session that ends."""
        for topic_filter in session.subscriptions.values():
            self._flow.router.discard(session.client_id, topic_filter)
        self.count -= len(session.subscriptions)
