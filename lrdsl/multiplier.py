"""`lambda_fn`: a schedule as what torch's ``LambdaLR`` takes. Needs no torch."""

from collections.abc import Mapping

from lrdsl.errors import ScheduleError
from lrdsl.language.context import key_of
from lrdsl.schedule import Schedule, compile


class Multiplier:
    """A function of the step that gives multiples of a base rate. Made by `lambda_fn`."""

    # LambdaLR saves what is in `__dict__`, and updates it with what it loads: text and numbers that say which schedule
    # this is. What runs stays out of its reach.
    __slots__ = ("__dict__", "_base", "_own", "_schedule")

    def __init__(self, schedule: Schedule, base_lr: float) -> None:
        self._own = schedule.state_dict()
        self.__dict__.update(self._own)
        self._schedule = schedule
        self._base = base_lr

    def __call__(self, step: int) -> float:
        """The multiple for update `step` (0-based).

        Raises:
            ScheduleError: `step` is no whole number >= 0; the state of another schedule was loaded (E0802).
        """
        if self.__dict__ != self._own:
            self._refuse()
        return self._schedule.lr(step) / self._base

    def _refuse(self) -> None:
        try:
            self._schedule.load_state_dict(self.__dict__)
        except ScheduleError as error:
            hint = "resume with it, or replace `lr_lambdas` in the state by a list of None to run this text from there"
            raise ScheduleError(error.code, error.message, hint=hint) from None

    def __repr__(self) -> str:
        return f"lambda_fn({str(self._schedule)!r})"


def lambda_fn(
    text: str | float,
    *,
    base_lr: float,
    total_steps: int | None = None,
    steps_per_epoch: float | None = None,
    tokens_per_step: float | None = None,
    samples_per_step: float | None = None,
    params: Mapping[str, float] | None = None,
) -> Multiplier:
    """A schedule as the function of the step that torch's ``LambdaLR``, or a container of them, multiplies rates by.

    It pickles and copies; ``LambdaLR.state_dict`` has its text and numbers, and to go on with the state of another
    schedule is an error at the next step. Where base is a power of two, such as 1, ``base * f(step)`` is the rate of
    the schedule exactly, else sometimes its neighbour among the floats.

    Args:
        text: The schedule, for ``lr`` of all groups; a plain number is a constant rate.
        base_lr: The rate that the optimizer was made with, which will be multiplied. Not 0.
        total_steps: Updates of the whole run; ``total``, ``rest`` and ``%`` need it.
        steps_per_epoch: Updates in one epoch, for ``3ep``.
        tokens_per_step: Tokens in one update, for ``2Btok``.
        samples_per_step: Samples in one update, for ``256_000smp``.
        params: Named plain numbers that the text may use.

    Raises:
        ScheduleError: The text or the context is wrong; the message shows where.
        ValueError: ``base_lr`` is 0; the text listens to a metric, or governs more than ``lr`` of all groups.

    Example:
        >>> import lrdsl
        >>> f = lrdsl.lambda_fn("warmup(4) >> linear(rest)", base_lr=3e-4, total_steps=12)
        >>> f(0), f(2), f(4), f(8), f(12)
        (0.0, 0.5, 1.0, 0.5, 0.0)
    """
    schedule = compile(
        text,
        base_lr=base_lr,
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
        tokens_per_step=tokens_per_step,
        samples_per_step=samples_per_step,
        params=params,
    )
    if schedule.metrics:
        heard = ", ".join(schedule.metrics)
        raise ValueError(
            f"the text listens to {heard}, and a function of the step hears nothing: use lrdsl.LRScheduler"
        )
    if list(schedule.tracks) != [("lr", None)]:
        named = " and ".join(key_of(*key) for key in schedule.tracks)
        raise ValueError(f"the text governs {named}, and a multiplier is for lr alone: use lrdsl.LRScheduler")
    if base_lr == 0:
        raise ValueError("base_lr is 0, of which every multiple is 0: give the optimizer another lr")
    return Multiplier(schedule, float(base_lr))
