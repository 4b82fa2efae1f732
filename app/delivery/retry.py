"""When a payload that failed is tried again, and when it is given up."""

from dataclasses import dataclass

from app.settings import Settings

HOUR_S = 3_600.0
DOUBLINGS_MAX = 30  # beyond any limit; keeps 2ⁿ a small number


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """delay = max(uniform(0, min(delay_s_max, base_s · 2ⁿ)), Retry-After), n = 0 for the first retry."""

    base_s: float = 1.0
    delay_s_max: float = 300.0
    retry_after_s_max: float = HOUR_S
    """A vendor that asks for more is asked again after this."""
    give_up_after_s: float = 4 * HOUR_S
    """Since the first try, without the time that the destination was paused."""
    attempts_min: int = 3
    """Nothing is given up before this many, however long they took."""


def retry_settings(settings: Settings, destination: str) -> RetrySettings:
    """A destination's patience: its own, or what holds for all."""
    delivery = settings.delivery
    own_s = next(one.give_up_after_s for one in settings.destinations if one.name == destination)
    after_s = delivery.give_up_after_s if own_s is None else own_s
    return RetrySettings(give_up_after_s=after_s, attempts_min=delivery.attempts_min)


def delay_s(settings: RetrySettings, *, attempts: int, after_s: float | None, jitter: float) -> float:
    """Seconds to wait.

    Args:
        attempts: Failed ones so far, at least 1.
        after_s: What the vendor asked for.
        jitter: Uniform in [0, 1).
    """
    ceiling_s = min(settings.delay_s_max, settings.base_s * 2.0 ** min(attempts - 1, DOUBLINGS_MAX))
    return max(jitter * ceiling_s, min(after_s or 0.0, settings.retry_after_s_max))


def gives_up(settings: RetrySettings, *, attempts: int, trying_s: float) -> bool:
    """Whether a payload that has failed once more is a dead letter now."""
    return attempts >= settings.attempts_min and trying_s >= settings.give_up_after_s
