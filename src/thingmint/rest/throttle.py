"""Owns the quotas of requests: a token bucket for each account and operation. Independent of requests and clocks."""

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping

from msgspec import Struct

from thingmint.core.errors import Throttled

EVERY_OTHER_OPERATION = "*"

# AWS IoT Core's quotas, transactions per second for an account in a region ("AWS IoT Core endpoints and quotas").
AWS_QUOTAS: Mapping[str, float] = {
    EVERY_OTHER_OPERATION: 10,
    "CreateCertificateFromCsr": 15,
    "AttachPolicy": 15,
    "DetachPolicy": 15,
    "ListAttachedPolicies": 15,
    "GetPolicyVersion": 15,
    "ListPrincipalPolicies": 15,
    "GetEffectivePolicies": 5,
    "CreateThing": 100,
    "UpdateThing": 100,
    "DeleteThing": 100,
    "AttachThingPrincipal": 100,
    "DetachThingPrincipal": 100,
    "AddThingToThingGroup": 100,
    "DescribeThing": 350,
    "ListThingPrincipals": 20,
    "ListThingPrincipalsV2": 20,
    "CreateCertificateProvider": 1,
    "UpdateCertificateProvider": 1,
    "DeleteCertificateProvider": 1,
}
_PROFILES: Mapping[str, Mapping[str, float]] = {"none": {}, "aws": AWS_QUOTAS}

# More buckets than usual numbers of accounts and operations; the least recently used one is removed first.
_MAX_BUCKETS = 65_536
# A caller that waits exactly for the time in the error must be admitted, although a clock in floating-point seconds may
# be a few nanoseconds short. A bucket's level never falls below zero by more than this, so the error does not add up.
_ROUNDING = 1e-3


class _Bucket(Struct):
    tokens: float
    filled_at: float


class Throttle:
    """Admits requests at the rate of their operation, with bursts of one second's requests, or of ``burst``.

    - ``quota`` is a profile (``none``, ``aws``), or requests per second by operation, with ``*`` for all others.
      Operations without a rate are not limited.
    - ``monotonic`` returns seconds that never go backwards.
    - ``nodes`` returns the current number of nodes, among which the rates are divided equally.
    """

    def __init__(
        self,
        quota: Mapping[str, float] | str,
        monotonic: Callable[[], float],
        *,
        burst: float | None = None,
        nodes: Callable[[], int] = lambda: 1,
    ) -> None:
        """Take the quota; raise ValueError if the profile does not exist or a number is not a valid rate."""
        self._nodes = nodes
        self._rates = _rates(quota)
        if burst is not None and not 1 <= burst < math.inf:
            raise ValueError(f"a burst is at least one request, not {burst}")
        self._burst = burst
        self._monotonic = monotonic
        self._buckets: OrderedDict[tuple[str, str], _Bucket] = OrderedDict()

    def admit(self, account: str, operation: str) -> None:
        """Take a token for the request; if there is none, raise Throttled with the time until the next one."""
        rate = self._rates.get(operation, self._rates.get(EVERY_OTHER_OPERATION))
        if rate is None:
            return
        rate /= self._nodes()
        capacity = self._burst or max(1.0, rate)
        now = self._monotonic()
        bucket = self._bucket((account, operation), capacity, now)
        bucket.tokens = min(capacity, bucket.tokens + max(0.0, now - bucket.filled_at) * rate)
        bucket.filled_at = now
        if bucket.tokens + _ROUNDING < 1:
            raise Throttled(retry_after=(1 - bucket.tokens) / rate)
        bucket.tokens -= 1

    def _bucket(self, key: tuple[str, str], capacity: float, now: float) -> _Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(capacity, now)
            if len(self._buckets) > _MAX_BUCKETS:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return bucket


def _rates(quota: Mapping[str, float] | str) -> Mapping[str, float]:
    if isinstance(quota, str):
        if quota not in _PROFILES:
            raise ValueError(f"a quota is one of {', '.join(_PROFILES)} or a table of rates, not {quota!r}")
        return _PROFILES[quota]
    for operation, rate in quota.items():
        if not 0 < rate < math.inf:
            raise ValueError(f"the rate of {operation} is a positive number, not {rate}")
    return dict(quota)
