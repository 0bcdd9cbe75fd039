"""What a window publishes beside its head (contracts/aggregate): how a number with decimals is written. Pure."""

from decimal import Decimal

from agent.contracts.aggregate import Field, Value

__all__ = ["Field", "Value", "scaled"]


def scaled(whole: int, places: int) -> Decimal:
    """whole / 10^places, written with exactly `places` decimals; 0 <= places <= 6, beyond which decimals would be written with exponents."""
    return Decimal(whole).scaleb(-places)
