"""What SageMaker charges by the hour: a dated table, for the service's own price list needs an account."""

from typing import NamedTuple

from gan_lib.errors import ConfigurationError
from gan_lib.text import nearest

DATE = "2026-09-24"
DEFAULT_REGION = "us-east-1"


class Price(NamedTuple):
    """USD per hour of one instance type, and whether the list names it for notebook instances."""

    usd_per_hour: float
    confirmed: bool


# Notebook instances, on demand. Unconfirmed: the number is in the list, but it was not seen which of SageMaker's parts
# (notebook, training, hosting) it belongs to.
PRICES: dict[str, dict[str, Price]] = {
    "us-east-1": {
        "ml.c5.2xlarge": Price(0.408, False),
        "ml.c7i.2xlarge": Price(0.428, False),
        "ml.g4dn.xlarge": Price(0.736, True),
        "ml.g5.xlarge": Price(1.41, True),
        "ml.g6.xlarge": Price(1.127, True),
    },
}


def known_types() -> list[str]:
    """Every instance type that has a price somewhere."""
    return sorted({name for prices in PRICES.values() for name in prices})


def check_type(name: str) -> None:
    """Raise ConfigurationError unless an instance type is one of the table's."""
    if name not in known_types():
        raise ConfigurationError(f"unknown instance type {name!r}{nearest(name, known_types())}")


def price(instance_type: str, region: str) -> Price | None:
    """The price, or None where the table has none."""
    return PRICES.get(region, {}).get(instance_type)


def rate(instance_type: str, region: str) -> str:
    """The price in words: "0.408 USD per hour"."""
    known = price(instance_type, region)
    return f"{known.usd_per_hour:g} USD per hour" if known else f"price unknown for {instance_type} in {region}"
