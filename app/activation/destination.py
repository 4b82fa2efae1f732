"""A destination is a value: settings, limits, how payloads become requests and how replies are judged.

Most vendors take one request for a batch and answer it: `build` and `classify`. Where one has to be asked first, or
works on a job for a while, `converse` is a generator: it yields a request, is given the response, and ends with the
outcome. Whoever carries it out sees to tokens, rates, time-outs and connections that break, which end it early.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from app.activation.fields import FieldName, as_it_is
from app.activation.memory import Memory
from app.activation.outcome import Delivered, Outcome, Reason, Response, by_status
from app.activation.payload import Payload
from app.activation.request import Request, get, post, rebased, send
from app.activation.settings import Secret, read_settings, schema_of, secrets_in
from app.activation.token import TokenFlow
from app.errors import Fault, SettingsError

if TYPE_CHECKING:
    from app.activation.lists.vendor import Lists, ListVendor

__all__ = [
    "Attempt", "Build", "Classify", "Configured", "Conversation", "Destination", "Erase", "Limits", "Memory", "Place",
    "Request", "Secret", "forgotten", "get", "once", "post", "send", "settings_schema",
]  # fmt: skip

S = TypeVar("S")
MIB = 1024 * 1024
UNAUTHORIZED = 401
NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Limits:
    """What the vendor bears."""

    requests_per_s: float
    """Of all workers together; each takes its share by the partitions it holds."""
    in_flight_max: int = 10
    """Requests at once."""
    jobs_max: int = 0
    """Jobs of the vendor's that a worker waits for beside them: nothing of theirs is under way meanwhile."""
    batch_items_max: int = 1
    body_bytes_max: int = MIB
    """Of one request; a batch above it is halved, a single payload above it is rejected."""
    timeout_s: float = 30.0
    """Whole request, reply included."""
    reply_bytes_max: int | None = None
    """How much of a reply is read where it names each item; None: what is usual."""

    @property
    def batches_max(self) -> int:
        """Batches that a worker has begun and not ended."""
        return self.in_flight_max + self.jobs_max


@dataclass(frozen=True, slots=True)
class Attempt:
    """The surroundings of one try."""

    now_s: int
    """Unix seconds at its beginning."""
    memory: Memory = field(default_factory=Memory)


class Place(NamedTuple):
    """With which other payloads one may share a request: those of the same group and another key."""

    key: str
    """Who it is about, in the vendor's terms."""
    group: str


Conversation = Generator[Request, Response, Outcome]
Build = Callable[[Sequence[Payload], S, int], Request]
"""(payloads, settings, Unix seconds of this attempt) → request. Pure: the same input gives the same bytes."""
Classify = Callable[[Response, Sequence[Payload], float], Outcome]
"""(response, the request's payloads, Unix seconds now) → outcome, of the whole request or as Partial of its items."""
Converse = Callable[[Sequence[Payload], S, Attempt], Conversation]


def _everybody(payload: Payload, settings: object) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Erase(Generic[S]):
    """How the vendor is asked to forget a person. A `delete` call makes an exchange of its own, one person each."""

    converse: Callable[[Payload, S, Attempt], Conversation] | None = None
    """None: the call goes out like any other."""
    knows: Callable[[Payload, S], bool] = field(default=_everybody)
    """Whether the payload carries what the vendor deletes by."""
    needs: str = ""
    """The setting without which it cannot be asked."""


def forgotten(response: Response, now_s: float) -> Outcome:
    """What a reply to a deletion means: whom the vendor does not know is forgotten already."""
    return Delivered() if response.status == NOT_FOUND else by_status(response, now_s)


def once(build: Callable[[Payload, S], Request]) -> Callable[[Payload, S, Attempt], Conversation]:
    """A deletion in one request."""

    def converse(payload: Payload, settings: S, attempt: Attempt) -> Conversation:
        response = yield build(payload, settings)
        return forgotten(response, attempt.now_s)

    return converse


def _as_they_are(limits: Limits, settings: object) -> Limits:
    return limits


def _by_profile(payload: Payload, settings: object) -> str | None:
    return payload.profile


def _by_call(payload: Payload, settings: object) -> str:
    return str(payload.call.get("type"))


def _by_status(response: Response, payloads: Sequence[Payload], now_s: float) -> Outcome:
    return by_status(response, now_s)


def _nothing_wrong(settings: object) -> Mapping[str, str]:
    return {}


def _no_token(settings: object) -> TokenFlow | None:
    return None


def _unauthorized(response: Response) -> bool:
    return response.status == UNAUTHORIZED


@dataclass(frozen=True, slots=True)
class Destination(Generic[S]):
    """One type of destination. Without `build` and `converse` there is no sender: the topic itself is the delivery."""

    name: str
    settings: type[S]
    """A frozen dataclass; its fields may be annotated with a `Rule`."""
    limits: Limits
    build: Build[S] | None = None
    classify: Classify = _by_status
    converse: Converse[S] | None = None
    """Instead of the two above."""
    calls: tuple[str, ...] | None = ("identify", "track")
    """The calls that it can take, others are refused; None: whatever there is."""
    needs: tuple[str, ...] = ()
    """Identifier types without which a payload is filtered, and counted with that reason."""
    key: Callable[[Payload, S], str | None] = field(default=_by_profile)
    """Who the payload is about in the vendor's terms; None: nobody it could know, so the payload is filtered."""
    repeats: bool = True
    """Whether payloads of one change with the same key differ all the same. Where they do not, only the first goes."""
    group: Callable[[Payload, S], str] = field(default=_by_call)
    """Payloads of one request have this in common."""
    limits_for: Callable[[Limits, S], Limits] = field(default=_as_they_are)
    """The limits under given settings, where a setting decides one of them."""
    track_needs: str = ""
    """The setting without which there are no events."""
    check: Callable[[S], Mapping[str, str]] = field(default=_nothing_wrong)
    """Setting → what is wrong with it beside the others."""
    token: Callable[[S], TokenFlow | None] = field(default=_no_token)
    token_refused: Callable[[Response], bool] = field(default=_unauthorized)
    """Whether the reply says that the token is not accepted (any more); asked only where there is one."""
    erase: Erase[S] | None = None
    """None: the vendor cannot be asked, or nobody has written down how; receipts say so."""
    field_name: FieldName = as_it_is
    """What becomes of a key, so that two keys which become one are found when the configuration is checked."""
    vendor: str = ""
    """Types of the same vendor share its accounts; empty: the type's name."""
    account: tuple[str, ...] = ()
    """The settings that say whose account it is, whose limits are shared by all who use it; empty: all secret ones."""
    enrich: tuple[str, ...] = ()
    """Keys of custom or computed traits that the vendor insists on; they go along where the profile has them."""
    lists: ListVendor[S] | None = None
    """Instead of `build` and `converse`: what is sent is not each change but, now and then, who is on a list."""

    @property
    def sends(self) -> bool:
        return self.build is not None or self.converse is not None

    def _calls(self, settings: S) -> tuple[str, ...] | None:
        if not self.track_needs or getattr(settings, self.track_needs) is not None:
            return self.calls
        return tuple(call for call in self.calls or () if call != "track")

    def configure(self, raw: Mapping[str, object], *, rate_per_s: float | None = None) -> Configured:
        """Raises SettingsError with every fault at once; their file is empty, their path starts at the settings."""
        settings, common = read_settings(self.settings, raw)
        wrong = self.check(settings)
        if wrong:
            raise SettingsError([Fault("", 0, 0, path, message) for path, message in wrong.items()])
        limits = self.limits_for(self.limits, settings)
        if common.timeout_s is not None:
            limits = replace(limits, timeout_s=common.timeout_s)
        if rate_per_s is not None:
            limits = replace(limits, requests_per_s=rate_per_s)
        base_url = common.base_url

        def finish(request: Request) -> Request:
            url = rebased(request.url, base_url) if base_url else request.url
            return replace(request, url=url, reply_bytes_max=limits.reply_bytes_max)

        untouched = base_url is None and limits.reply_bytes_max is None

        def converse(payloads: Sequence[Payload], attempt: Attempt) -> Conversation:
            assert self.sends, f"{self.name} has no sender"
            if payloads and payloads[0].is_erasure and self.erase is not None and self.erase.converse is not None:
                made = self.erase.converse(payloads[0], settings, attempt)
            elif self.converse is not None:
                made = self.converse(payloads, settings, attempt)
            else:
                made = _single(self, payloads, settings, attempt.now_s)
            return made if untouched else _finished(made, finish)

        token = self.token(settings)
        return Configured(
            type=self.name,
            limits=limits,
            sends=self.sends,
            converse=converse,
            token=replace(token, ask=lambda now_s: finish(token.ask(now_s))) if token else None,
            token_refused=self.token_refused,
            calls=self._calls(settings),
            needs=self.needs,
            key=lambda payload: self.key(payload, settings),
            group=lambda payload: self.group(payload, settings),
            repeats=self.repeats,
            secrets=secrets_in(settings),
            bars_erasure=lambda payload: self._bars_erasure(payload, settings),
            lists=self.lists.bound(settings, finish) if self.lists is not None else None,
            account=self._account(settings, base_url),
        )

    def _bars_erasure(self, payload: Payload, settings: S) -> Reason | None:
        if self.erase is None or (self.erase.needs and getattr(settings, self.erase.needs) is None):
            return Reason.NOT_SUPPORTED
        return None if self.erase.knows(payload, settings) else Reason.NO_IDENTIFIER

    def _account(self, settings: S, base_url: str | None) -> str:
        named = [getattr(settings, name) for name in self.account] or secrets_in(settings)
        texts = [one.reveal() if isinstance(one, Secret) else str(one) for one in named]
        return sha256("\0".join((self.vendor or self.name, base_url or "", *texts)).encode()).hexdigest()


def _not_supported(payload: Payload) -> Reason | None:
    return Reason.NOT_SUPPORTED


@dataclass(frozen=True, slots=True)
class Configured:
    """A destination with its settings in place: all that a sender has to know."""

    type: str
    limits: Limits
    sends: bool
    converse: Callable[[Sequence[Payload], Attempt], Conversation]
    token: TokenFlow | None
    token_refused: Callable[[Response], bool]
    calls: tuple[str, ...] | None
    needs: tuple[str, ...]
    key: Callable[[Payload], str | None]
    group: Callable[[Payload], str]
    repeats: bool
    secrets: tuple[Secret, ...] = field(repr=False)
    """Every secret value in the settings, to be struck out of whatever a vendor echoes."""
    account: str
    """A hash; destinations that have it in common share one vendor account, with its limits."""
    bars_erasure: Callable[[Payload], Reason | None] = field(default=_not_supported)
    """Why the vendor cannot be asked to forget the person of a `delete` call; None where it can be."""
    lists: Lists | None = None

    def place(self, payload: Payload) -> Place | Reason:
        """With what it may share a request, or why it is nothing for this vendor. Raises InvalidPayload."""
        if payload.is_erasure:
            # It has its turn behind all that was told before it, whatever the vendor makes of it, and always alone.
            return Place(payload.id, f"erase {payload.id}")
        if self.calls is not None and payload.call.get("type") not in self.calls:
            return Reason.UNSUPPORTED_CALL
        if self.needs and not set(self.needs) <= payload.ids.keys():
            return Reason.NO_IDENTIFIER
        key = self.key(payload)
        return Reason.NO_IDENTIFIER if key is None else Place(key, self.group(payload))


def settings_schema(destination: Destination[Any]) -> dict[str, object]:
    """JSON Schema of the destination's `settings`, for the configuration's own schema."""
    return schema_of(destination.settings)


def _single(destination: Destination[S], payloads: Sequence[Payload], settings: S, now_s: int) -> Conversation:
    assert destination.build is not None
    response = yield destination.build(payloads, settings, now_s)
    return destination.classify(response, payloads, now_s)


def _finished(conversation: Conversation, finish: Callable[[Request], Request]) -> Conversation:
    try:
        request = next(conversation)
        while True:
            response = yield finish(request)
            request = conversation.send(response)
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome
