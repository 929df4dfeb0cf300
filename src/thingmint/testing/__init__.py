"""For tests of programs that use AWS IoT: a real service for one test run, accounts, devices and a clock.

With pytest, the plug-in gives the fixtures ``thingmint`` and ``thingmint_account``. Without it:

    with thingmint.testing.service() as service:
        account = service.create_account()
        account.client("iot").create_thing(thingName="pump")
"""

from thingmint.testing.account import Account, Caller
from thingmint.testing.claim import Claim, RegistrationRefused
from thingmint.testing.device import Device, DeviceRefused, Disconnected, Message
from thingmint.testing.service import Clock, NotStarted, Service, service

__all__ = [
    "Account",
    "Caller",
    "Claim",
    "Clock",
    "Device",
    "DeviceRefused",
    "Disconnected",
    "Message",
    "NotStarted",
    "RegistrationRefused",
    "Service",
    "service",
]
