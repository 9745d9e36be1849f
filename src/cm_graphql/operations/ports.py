"""What actions need of the world outside the database; the wiring fills it in."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from uuid_utils import compat as uuids


class Clock(Protocol):
    """The time, which tests and demos can freeze."""

    def now(self) -> datetime:
        """This moment, in UTC."""
        ...

    def today(self, time_zone: str) -> date:
        """Today's date in a time zone."""
        ...


@dataclass(frozen=True)
class SystemClock:
    """The machine's clock; with `frozen` the date stands still while moments go on."""

    frozen: date | None = None

    def now(self) -> datetime:
        """This moment, in UTC."""
        return datetime.now(UTC)

    def today(self, time_zone: str) -> date:
        """Today's date in a time zone, or the frozen one."""
        return self.frozen or self.now().astimezone(ZoneInfo(time_zone)).date()


def new_id(prefix: str) -> str:
    """A new id of a kind; ids sort in the order they were made."""
    return f"{prefix}_{uuids.uuid7().hex}"
