"""Owns where key pairs come from: workers that generate them, and a bounded reserve; knows nothing of certificates."""

from thingmint.key_pool.child import usable_cores
from thingmint.key_pool.pool import KeyPool, PoolObserver
from thingmint.key_pool.reserve import Clocks

__all__ = ["Clocks", "KeyPool", "PoolObserver", "usable_cores"]
