"""Optuna: a trial whose schedule is wrong is pruned, and says why."""

from collections.abc import Iterator
from contextlib import contextmanager

from lrdsl import ScheduleError, versions

versions.require("optuna", "5.0")

import optuna  # noqa: E402


@contextmanager
def guard(trial: optuna.Trial | None = None) -> Iterator[None]:
    """Prune the trial in which a schedule is wrong, so that a search goes on past texts that make no sense.

    For texts put together from suggestions: some combinations may not be schedules. As a context manager around what
    makes the optimizer, or as a decorator (``@guard()``) of the objective.

    Args:
        trial: Keeps the message in its user attribute ``schedule_error``. Without it the message is only logged.

    Raises:
        optuna.TrialPruned: In place of a `ScheduleError`, with its message, carets included.

    Example:
        >>> import lrdsl, optuna
        >>> def objective(trial):
        ...     decay = trial.suggest_categorical("decay", ["cosine", "cosin"])
        ...     with guard(trial):
        ...         schedule = lrdsl.compile(f"warmup(5) >> {decay}(rest)", base_lr=0.1, total_steps=100)
        ...     return schedule.lr(99)
        >>> optuna.logging.set_verbosity(optuna.logging.ERROR)
        >>> study = optuna.create_study(sampler=optuna.samplers.GridSampler({"decay": ["cosine", "cosin"]}))
        >>> study.optimize(objective)
        >>> for trial in study.get_trials(states=[optuna.trial.TrialState.PRUNED]):
        ...     print(trial.user_attrs["schedule_error"])
        E0204: unknown function `cosin`
          |
        1 | warmup(5) >> cosin(rest)
          |              ^^^^^ did you mean `cosine`?
    """
    try:
        yield
    except ScheduleError as error:
        if trial is not None:
            trial.set_user_attr("schedule_error", str(error))
        raise optuna.TrialPruned(str(error)) from error
