"""How much one caller may ask for at a time: requests per minute, requests at once, seconds each, sockets and streams.

Whoever stays below never notices. Whoever asks for more waits their turn behind themselves, not behind others, and is
told when to come back where even that would take too long.
"""

import asyncio
import ipaddress
import math
import re
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal

import structlog
from starlette.requests import HTTPConnection

from cm_graphql.api.errors import Code, RequestRefused

if TYPE_CHECKING:
    from limits.aio.strategies import MovingWindowRateLimiter

HEAVY: Final = 100_000
"""From this cost on a query is one of the few of its caller's that run at a time, for it holds what it reads in memory;
unless a plan answers it from few rows, however many its page sizes allow.
"""

MOST_SUSPECTS: Final = 10_000
"""Addresses that are remembered for tokens that were not good; of others nothing has to be looked up."""

SLOTS: Final = 60
"""Parts of the window in which requests are counted together."""

COUNTED: Final = "counted"
"""Under this name the state of a request tells that it was counted, and is not to be counted again."""

log = structlog.get_logger("cm_graphql.traffic")


@dataclass(frozen=True, kw_only=True)
class TrafficRules:
    """What one caller may ask of one process; requests per minute can be counted over all processes."""

    rate: str | None = None
    """Requests in a time, such as `600/minute`; None: as many as they like."""
    failures: str | None = "300/minute"
    """Requests with a wrong token, or none, from one address."""
    storage_url: str | None = None
    """Where requests are counted, `redis://...`; None: in this process."""
    running: int = 32
    waiting: int = 1_000
    """How many requests wait for their turn; what comes after those is refused."""
    heavy: int = 2
    seconds: float = 60.0
    sockets: int = 200
    streams: int = 500
    """Subscriptions that are open, over all sockets and streams of events."""


class TooMuch(RequestRefused):
    """A caller asks for more than they may at this time; says when to come back."""

    def __init__(self, limit: str, maximum: object, message: str, retry_after: float = 1.0) -> None:
        seconds = max(1, math.ceil(retry_after))
        super().__init__(429, message, Code.RATE_LIMITED, headers={"retry-after": str(seconds)})
        self.extensions |= {"limit": limit, "maximum": maximum, "retryAfter": seconds}


class TookTooLong(RequestRefused):
    """A request was stopped at its deadline."""

    def __init__(self, seconds: float, *, is_mutation: bool, has_begun: bool) -> None:
        message = f"The request was stopped, because it took longer than {seconds:g} seconds."
        if is_mutation:
            message += (
                " Each action of it was done as a whole or not at all: read what it was about again, or repeat the "
                "request with its idempotencyKey."
            )
        elif has_begun:
            message += " Ask for smaller pages, or for less of each thing."
        super().__init__(503 if has_begun else 408, message, Code.LIMIT_EXCEEDED, headers={"connection": "close"})
        self.extensions |= {"limit": "request_timeout", "maximum": seconds}


class Traffic:
    """Keeps every caller within the rules. It belongs to the event loop that first uses it."""

    def __init__(self, rules: TrafficRules) -> None:
        self.rules = rules
        self.refusals: Counter[str] = Counter()
        """How many requests were refused, by the limit that they met."""
        self._rate = self._counting(rules.rate)
        self._failures = self._counting(rules.failures)
        self._turns: dict[str, Turns] = {}
        self._held: Counter[tuple[str, str]] = Counter()
        self._suspects: OrderedDict[str, None] = OrderedDict()

    def _counting(self, rate: str | None) -> "Rate | None":
        return None if rate is None else Rate(rate, self.rules.storage_url, self.refusals)

    async def count(self, caller: str) -> None:
        """Count one request; raises TooMuch where the caller has had their share."""
        if self._rate is not None:
            await self._rate.count(caller, "rate_limit", "requests")

    def at_once(self, caller: str) -> "Turns | None":
        """Count a request, which then takes or awaits its turn, and gives it back with `over`; None, and nothing done,
        where it would be refused, or Redis be asked.
        """
        if self._rate is not None and self._rate.is_shared:
            return None
        turns = self._turns.get(caller)
        if turns is None:
            turns = self._turns[caller] = Turns()
        has_room = turns.running < self.rules.running or len(turns.queue) < self.rules.waiting
        if has_room and (self._rate is None or self._rate.hit(caller)):
            return turns
        self.let_go(caller, turns)
        return None

    def over(self, caller: str, turns: "Turns") -> None:
        """End a turn."""
        turns.give_back()
        self.let_go(caller, turns)

    def let_go(self, caller: str, turns: "Turns") -> None:
        """Forget a caller of whom nothing runs or waits."""
        if turns.is_idle:
            self._turns.pop(caller, None)

    def trusts(self, address: str) -> bool:
        """Whether an address has not guessed too often, as far as can be told without asking Redis."""
        failures = self._failures
        return failures is None or address not in self._suspects or (not failures.is_shared and failures.test(address))

    async def count_failure(self, address: str) -> None:
        """Count a request that did not say who sends it."""
        if self._failures is not None:
            self._suspects[address] = None
            if len(self._suspects) > MOST_SUSPECTS:
                self._suspects.popitem(last=False)
            await self._failures.count(address, "rate_limit_failures", "requests without a valid token")

    async def check_failures(self, address: str) -> None:
        """Refuse an address that has guessed too often, before its next guess is looked at."""
        if self._failures is not None and address in self._suspects:
            await self._failures.check(address, "rate_limit_failures", "requests without a valid token")

    @asynccontextmanager
    async def turn(self, caller: str, *, heavy: bool = False) -> AsyncIterator[None]:
        """Wait for the caller's next turn, and have it until the block ends; raises TooMuch."""
        most, waiting = (self.rules.heavy if heavy else self.rules.running), self.rules.waiting
        key = f"{caller} heavy" if heavy else caller
        turns = self._turns.setdefault(key, Turns())
        try:
            if not turns.take(most):
                if len(turns.queue) >= waiting:
                    self.refusals["max_waiting"] += 1
                    message = f"You have {most} requests running and {waiting} waiting: send no more until some end."
                    raise TooMuch("max_waiting", waiting, message)
                await turns.wait()
            try:
                yield
            finally:
                turns.give_back()
        finally:
            if turns.is_idle:
                self._turns.pop(key, None)

    @contextmanager
    def socket(self, caller: str) -> Iterator[None]:
        """Have a socket open."""
        with self._hold(caller, "max_sockets", self.rules.sockets, "sockets"):
            yield

    @contextmanager
    def stream(self, caller: str) -> Iterator[None]:
        """Have a subscription open."""
        with self._hold(caller, "max_streams", self.rules.streams, "subscriptions"):
            yield

    @contextmanager
    def _hold(self, caller: str, limit: str, most: int, what: str) -> Iterator[None]:
        key = caller, limit
        if self._held[key] >= most:
            self.refusals[limit] += 1
            raise TooMuch(limit, most, f"You have {most} {what} open, which is as many as you may: close some first.")
        self._held[key] += 1
        try:
            yield
        finally:
            self._held[key] -= 1
            if not self._held[key]:
                del self._held[key]


class Turns:
    """The requests of one caller that run, and those that wait, in the order they came."""

    def __init__(self) -> None:
        self.running = 0
        self.queue: deque[asyncio.Future[None]] = deque()

    @property
    def is_idle(self) -> bool:
        """Whether nobody needs it any more."""
        return not self.running and not self.queue

    def take(self, most: int) -> bool:
        """Take a turn, if one is free."""
        if self.running >= most or self.queue:
            return False
        self.running += 1
        return True

    async def wait(self) -> None:
        """Wait until a turn is handed over."""
        handed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.queue.append(handed)
        try:
            await handed
        except asyncio.CancelledError:
            if handed.done() and not handed.cancelled():
                self.give_back()  # it was handed over at the moment that nobody wanted it any more
            elif handed in self.queue:
                self.queue.remove(handed)
            raise

    def give_back(self) -> None:
        """End a turn: whoever waits longest has it."""
        while self.queue:
            handed = self.queue.popleft()
            if not handed.done():
                handed.set_result(None)
                return
        self.running -= 1


class Rate:
    """Counts requests in a moving window, in this process or in Redis for all of them."""

    def __init__(self, rate: str, storage_url: str | None, refusals: Counter[str]) -> None:
        self._allowed = allowed = Allowance.read(rate)
        self._refusals = refusals
        self._own = Window(allowed.amount, allowed.seconds)
        self._shared = None if storage_url is None else shared_window(storage_url)
        if self._shared is not None:
            from limits import parse  # here, as in `shared_window`

            self._item = parse(rate)
        self._warned = -math.inf

    @property
    def is_shared(self) -> bool:
        """Whether all processes count together."""
        return self._shared is not None

    def hit(self, caller: str) -> bool:
        """Count one request in this process, unless there were as many as there may be."""
        return self._own.hit(caller)

    def test(self, caller: str) -> bool:
        """Whether another request would be let through in this process."""
        return self._own.test(caller)

    async def count(self, caller: str, limit: str, what: str) -> None:
        """Count one request; raises TooMuch where there were as many as there may be."""
        if not (self._own.hit(caller) if self._shared is None else await self._ask("hit", caller, limit)):
            raise await self._refusal(caller, limit, what)

    async def check(self, caller: str, limit: str, what: str) -> None:
        """Raise TooMuch where there were as many as there may be, without counting."""
        if not (self._own.test(caller) if self._shared is None else await self._ask("test", caller, limit)):
            raise await self._refusal(caller, limit, what)

    async def _ask(self, how: Literal["hit", "test"], caller: str, limit: str) -> bool:
        try:
            return bool(await getattr(self._shared, how)(self._item, caller, limit))
        except Exception as error:
            # Without Redis each process counts for itself: that limits still, and nobody is turned away for it.
            self._warn(error)
        return self._own.hit(caller) if how == "hit" else self._own.test(caller)

    async def _refusal(self, caller: str, limit: str, what: str) -> TooMuch:
        self._refusals[limit] += 1
        wait = self._own.wait(caller)
        if self._shared is not None:
            try:
                wait = (await self._shared.get_window_stats(self._item, caller, limit)).reset_time - time.time()
            except Exception as error:
                self._warn(error)
        seconds = max(1, math.ceil(wait))
        message = f"That were more {what} than you may send ({self._allowed}): come back in {seconds} s."
        return TooMuch(limit, self._allowed.amount, message, seconds)

    def _warn(self, error: Exception) -> None:
        if time.monotonic() - self._warned > 60:
            self._warned = time.monotonic()
            log.warning("rate_storage_fails", reason=type(error).__name__)  # its text can hold the URL


class Window:
    """Counts the requests of callers in a moving window, at the same cost however many.

    In no time as long as the window are more let through than the amount, whenever it begins. Requests of a sixtieth of
    it are counted together, and leave it together with the last of them, so that of some it holds a sixtieth longer.

    The library's own memory keeps every single request, and looks through all callers at each of them.
    """

    def __init__(self, amount: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._amount = amount
        self._seconds = seconds
        self._clock = clock
        self._callers: OrderedDict[str, Recent] = OrderedDict()

    def hit(self, caller: str) -> bool:
        """Count a request, unless there were as many as there may be."""
        now = self._clock()
        recent = self._callers.get(caller)
        if recent is None:
            self._forget(now)
            recent = self._callers[caller] = Recent()
        else:
            self._callers.move_to_end(caller)
        if recent.total(now, self._seconds) >= self._amount:
            return False
        recent.add(now, self._seconds / SLOTS)
        return True

    def test(self, caller: str) -> bool:
        """Whether another request would be let through."""
        recent = self._callers.get(caller)
        return recent is None or recent.total(self._clock(), self._seconds) < self._amount

    def wait(self, caller: str) -> float:
        """Seconds until the first of the requests counted leave the window."""
        recent = self._callers.get(caller)
        if recent is None or not recent.slots:
            return 0.0
        return recent.slots[0].ended + self._seconds - self._clock()

    def __len__(self) -> int:
        """The callers that are remembered."""
        return len(self._callers)

    def _forget(self, now: float) -> None:
        """Let go of the two callers that were silent for longest, if they are out of the window."""
        for caller in list(islice(self._callers, 2)):
            if not self._callers[caller].total(now, self._seconds):
                del self._callers[caller]


@dataclass(slots=True)
class Slot:
    """Requests that are counted together."""

    began: float
    ended: float
    """When the last of them came."""
    count: int = 1


class Recent:
    """The requests of one caller in the window, by slots of time."""

    __slots__ = ("_total", "slots")

    def __init__(self) -> None:
        self.slots: deque[Slot] = deque()
        self._total = 0

    def total(self, now: float, seconds: float) -> int:
        """How many there are in the window of so many seconds that ends now."""
        while self.slots and self.slots[0].ended + seconds <= now:
            self._total -= self.slots.popleft().count
        return self._total

    def add(self, now: float, seconds: float) -> None:
        """Count one, together with others that came so shortly before."""
        last = self.slots[-1] if self.slots else None
        if last is not None and now - last.began < seconds:
            last.ended = now
            last.count += 1
        else:
            self.slots.append(Slot(now, now))
        self._total += 1


class NoStorage(Exception):
    """Requests cannot be counted where the settings say; the message says why."""


def shared_window(url: str) -> "MovingWindowRateLimiter":
    """What counts in the Redis that several processes share; raises NoStorage."""
    if not url.startswith(("redis://", "rediss://", "redis+unix://")):
        raise NoStorage("Requests cannot be counted there: it is no Redis URL, as in redis://host:6379/0.")
    # Here, since the library takes 1.6 MB, and is needed for Redis alone.
    from limits.aio.storage import Storage
    from limits.aio.strategies import MovingWindowRateLimiter
    from limits.errors import ConfigurationError, StorageError
    from limits.storage import storage_from_string

    try:
        storage = storage_from_string(f"async+{url}", implementation="redispy", wrap_exceptions=True)
    except (ConfigurationError, StorageError, ValueError) as error:
        reason = "the extra `redis` is missing" if "prerequisite" in str(error) else "it is no Redis URL"
        raise NoStorage(f"Requests cannot be counted in Redis: {reason}.") from None
    assert isinstance(storage, Storage)
    return MovingWindowRateLimiter(storage)


def address_of(connection: HTTPConnection) -> str:
    """The address that a connection comes from; of IPv6 the network, since a home has 2^64 addresses."""
    client = connection.scope.get("client")
    return network(client[0]) if client else "elsewhere"


@lru_cache(10_000)
def network(host: str) -> str:
    """What an address counts as."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "elsewhere"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


_DAY: Final = 24 * 60 * 60
_SECONDS: Final = {"second": 1, "minute": 60, "hour": 60 * 60, "day": _DAY, "month": 30 * _DAY, "year": 360 * _DAY}
"""The units of time of a rate, as long as `limits` takes them."""

_RATE: Final = re.compile(r"\s*([0-9]+)\s*(?:/|per)\s*([0-9]+)?\s*([a-z]+?)s?\s*", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Allowance:
    """So many requests in a time, as in `600/minute` or `20 per 10 seconds`."""

    amount: int
    multiple: int
    unit: str

    @classmethod
    def read(cls, text: str) -> "Allowance":
        """Read the text of a setting; raises ValueError."""
        found = _RATE.fullmatch(text)
        if found is None or found[3].lower() not in _SECONDS:
            raise ValueError("it has to be a number of requests in a time, as in 600/minute or 20/second")
        return cls(int(found[1]), int(found[2] or 1), found[3].lower())

    @property
    def seconds(self) -> int:
        """How long the time is."""
        return self.multiple * _SECONDS[self.unit]

    def __str__(self) -> str:
        multiple = f"{self.multiple} " if self.multiple > 1 else ""
        return f"{self.amount} per {multiple}{self.unit}"


def refuse_unless_rate(text: str) -> None:
    """Raise ValueError for a text that is no rate."""
    found = Allowance.read(text)
    if found.amount < 1 or found.multiple < 1:
        raise ValueError("it has to allow requests in some time, as 600/minute or 20/second does")


__all__ = ["TooMuch", "TookTooLong", "Traffic", "TrafficRules", "address_of"]
