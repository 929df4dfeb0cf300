"""Owns the names and flags of `thingmint fleet`. Other modules do the work."""

from typing import Any

import click

from thingmint.cli.settings import config_of, settings_options
from thingmint.cli.terminal.command_groups import CommandGroup
from thingmint.cli.terminal.numbers import OrdinaryFloatRange


@click.group(cls=CommandGroup)
def fleet() -> None:
    """Measure what load an installation can carry."""


@fleet.command()
@settings_options(("data_dir",))
@click.option("--devices", type=click.IntRange(1, 50_000), required=True, help="How many devices.")
@click.option(
    "--concurrency", type=click.IntRange(1, 200), default=8, show_default=True, help="Devices that are busy at a time."
)
@click.option(
    "--keys/--csr",
    default=True,
    show_default=True,
    help="The service makes each device's RSA key, or the device makes a P-256 key.",
)
@click.option("--duration", type=OrdinaryFloatRange(0), default=0.0, help="Seconds that all devices stay connected.")
@click.option(
    "--publish",
    type=OrdinaryFloatRange(0, 1000),
    default=0.0,
    help="Messages that each device sends a second in this time.",
)
@click.option("--reconnect", is_flag=True, help="At the end, each device disconnects and connects again.")
@click.option(
    "--renew",
    type=click.Choice(["now", "rotated"]),
    default=None,
    help="Each device renews its certificate by EST and connects with it: now, or when another issuer is active.",
)
@click.option(
    "--est", default=None, metavar="URL", help="Address of EST.  [default: that of the service in the data directory]"
)
@click.option(
    "--storm",
    type=click.Choice(["reconnect", "fan-out", "fan-in", "wills", "policy-change"]),
    default=None,
    help="What all devices do at the same time when they are connected; another client measures its effect.",
)
@click.option("--template", default=None, help="Provisioning template to use.  [default: one is made]")
@click.option("--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="Parameter of the template.")
@click.option(
    "--topic", default="{thing}/simulated", show_default=True, help="Topic to which devices publish and subscribe."
)
@click.option(
    "--claim-certificate", type=click.File("rb"), default=None, help="Claim certificate to use.  [default: one is made]"
)
@click.option("--claim-key", type=click.File("rb"), default=None, help="Its private key.")
@click.option(
    "--endpoint", default=None, metavar="URL", help="Address of the API; the variables AWS_… have the access key."
)
@click.option(
    "--mqtt", default=None, metavar="HOST:PORT", help="Address of the device port.  [default: the API's answer]"
)
@click.option(
    "--ca", "ca_file", default=None, metavar="FILE", help="CA file that verifies the device port's certificate."
)
@click.option("--allow-remote", is_flag=True, help="Allow a service on another machine.")
@click.option("--clean-up", is_flag=True, help="Remove the devices at the end, and all that was made for them.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def simulate(**options: Any) -> None:
    """Provision real devices on a running service, and show how long each step took.

    Exit code 1 if any device failed. Values of parameters and the topic may hold {device}, the topic also {thing}.
    """
    from thingmint.cli.simulation.command import Options, simulate_fleet

    named = options.pop("data_dir")
    data_dir = config_of({"data_dir": named}).data_dir
    simulate_fleet(data_dir, Options(**options), is_named=named is not None)
