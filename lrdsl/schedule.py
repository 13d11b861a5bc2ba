"""`compile` and `Schedule`: a text, bound and ready to be asked for rates."""

import math
from array import array
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from numbers import Integral, Real
from typing import Any

from lrdsl import checks
from lrdsl.errors import Note, ScheduleError, Span
from lrdsl.language.binder import Binder
from lrdsl.language.bound import Bound
from lrdsl.language.context import TARGETS, Context, key_of, shown
from lrdsl.language.hints import suggestion
from lrdsl.language.lowering import lower
from lrdsl.language.printer import render
from lrdsl.language.recovery import Enough, Errors
from lrdsl.language.script import Key, bind_script
from lrdsl.notes import collect
from lrdsl.program.expr import bounded
from lrdsl.program.program import NODES, STEPS, Program
from lrdsl.syntax.builder import LANGUAGE
from lrdsl.syntax.parser import parse
from lrdsl.syntax.tree import Script
from lrdsl.track import SegmentRow, Track

Group = str | int | None


class Schedule:
    """A learning-rate schedule: a pure function of the step and of what was observed. Made by `compile`."""

    def __init__(
        self,
        text: str,
        script: Script,
        context: Context,
        tracks: dict[tuple[str, Group], Track],
        rounded: Mapping[Span, tuple[str, Fraction]],
    ) -> None:
        self.text = text
        self.tracks = tracks
        self._rounded = rounded
        self._script = script
        self._context = context
        self._observed: dict[str, int] = {}
        self._notes: tuple[Note, ...] | None = None

    # --- rates ------------------------------------------------------------------------------------------------

    def lr(self, step: int) -> float:
        """The learning rate of update `step` (0-based), with the metrics observed so far.

        Args:
            step: A whole number >= 0.

        Raises:
            ScheduleError: `step` is negative or not whole.
        """
        return self.value("lr", step)

    def lrs(self, steps: Iterable[int]) -> Any:
        """The learning rates of many updates, a float64 array; equal bits to ``[lr(s) for s in steps]``."""
        return self.values("lr", steps)

    def value(self, target: str, step: int, group: Group = None) -> float:
        """The value of any target. One that the text does not name gives its base.

        Args:
            target: ``lr``, ``weight_decay``, ``momentum``, ``beta1``, ``beta2``, ``eps`` or ``dampening``.
            step: A whole number >= 0.
            group: Name or index of a parameter group.

        Raises:
            ScheduleError: Unknown target, no base for it, or a wrong step.
        """
        step = _whole(step)
        track = self._find(target, group)
        return self._base(target, group) if track is None else track.value(step)

    def values(self, target: str, steps: Iterable[int], group: Group = None) -> Any:
        """The values of any target for many updates, as a float64 array."""
        import numpy as np

        given = np.asarray(steps if isinstance(steps, np.ndarray) else list(steps))
        if given.size and (given.ndim != 1 or given.dtype.kind not in "iu"):
            got = f"a {given.ndim}-D array" if given.ndim != 1 else f"numbers of type {given.dtype}"
            raise ScheduleError("E0801", f"expected a 1-D sequence of whole steps, got {got}")
        array_of_steps = np.ascontiguousarray(given, dtype=np.int64)
        for extreme in (given.min(), given.max()) if given.size else ():
            _whole(extreme)
        track = self._find(target, group)
        if track is None:
            return np.full(array_of_steps.shape, self._base(target, group))
        return np.asarray(track.values(array_of_steps), dtype=np.float64)

    # --- metrics and state --------------------------------------------------------------------------------------

    def observe(self, value: float, metric: str = "loss", *, step: int | None = None, skipped: bool = False) -> None:
        """Report a metric.

        Args:
            value: The observed number; one that is not finite counts as bad.
            metric: Its name, as in ``plateau(metric=...)``.
            step: The update that the report was made before. Default: one more than that of the last report of this
                metric; 1 for the first one, which is one report after every update.
            skipped: That update is not made, so that the next report is made before the same one. Only modifiers that
                look after such updates, like ``guard``, hear of it.

        Raises:
            ScheduleError: No modifier listens to `metric`, or a wrong step.
        """
        self.check_metric(metric)
        step = self._observed.get(metric, 0) + 1 if step is None else _whole(step)
        for track in self.tracks.values():
            track.observe(metric, _double(value), step, skipped)
        if not skipped:
            self._observed[metric] = step

    def reported(self, metric: str, step: int) -> None:
        """Note a report that somebody else has taken: the modifiers' state is set by hand."""
        self._observed[metric] = step

    def has_heard(self, metric: str) -> bool:
        """Whether `metric` was ever reported."""
        return metric in self._observed

    def check_metric(self, metric: str) -> None:
        """Raise unless a modifier listens to `metric`.

        Raises:
            ScheduleError: None does (E0209).
        """
        if metric not in self.metrics:
            names = ", ".join(self.metrics)
            listened = f"it listens to: {names}" if names else "it has no metric-driven modifier, such as `plateau`"
            raise ScheduleError("E0209", f"no modifier of this schedule listens to `{metric}`", hint=listened)

    def state_dict(self) -> dict[str, Any]:
        """Text, context and modifier state as plain numbers and strings."""
        modifiers = {key_of(*key): dict(zip(t.program.slots, t.state, strict=True)) for key, t in self.tracks.items()}
        return {
            "language": LANGUAGE,
            "text": str(self),
            "context": self.context,
            "modifiers": {key: slots for key, slots in modifiers.items() if slots},
            "observed": dict(self._observed),
        }

    def load_state_dict(self, state: Mapping[str, Any], *, reschedule: bool = False) -> None:
        """Take back what `state_dict` gave.

        Args:
            state: The dictionary.
            reschedule: Accept the state of another text or context: modifier state then starts afresh.

        Raises:
            ScheduleError: E0802, the saved schedule is a different one. Nothing has changed.
            ValueError: The dictionary is malformed. Nothing has changed.
        """
        expected = self.state_dict()
        if not isinstance(state, Mapping) or set(state) != set(expected):
            got = f"the keys {', '.join(map(str, state))}" if isinstance(state, Mapping) else type(state).__name__
            raise ValueError(f"expected a schedule state with the keys {', '.join(sorted(expected))}, got {got}")
        same = all(state[key] == expected[key] for key in ("language", "text", "context"))
        if not same and not reschedule:
            message = f"the saved schedule is a different one: {_difference(state, expected)}"
            raise ScheduleError("E0802", message, hint="pass reschedule=True to run the new text from here")
        if not same:
            for track in self.tracks.values():
                track.reset()
            self._observed = {}
            return
        loaded = self._read_modifiers(state["modifiers"], expected["modifiers"])
        observed = self._read_observed(state["observed"])
        for key, slots in loaded.items():
            self.tracks[key].restore(slots)
        self._observed = observed

    def _read_modifiers(self, given: Any, expected: Any) -> "dict[tuple[str, Group], array[float]]":
        if not isinstance(given, Mapping) or set(given) != set(expected):
            got = ", ".join(map(str, given)) if isinstance(given, Mapping) else type(given).__name__
            raise ValueError(f"expected modifier state for {', '.join(expected) or 'no target'}, got {got or 'none'}")
        loaded = {}
        for key, track in self.tracks.items():
            slots = given.get(key_of(*key), {})
            if not isinstance(slots, Mapping) or set(slots) != set(track.program.slots):
                names = ", ".join(track.program.slots) or "(none)"
                raise ValueError(f"expected the numbers {names} for {key_of(*key)}")
            for name, value in slots.items():  # nan is possible: the sum of reports that are not averaged yet
                if not isinstance(value, Real) or isinstance(value, bool):
                    raise ValueError(f"expected a number for {name}, got {shown(value)}")
            loaded[key] = array("d", (_double(slots[name]) for name in track.program.slots))
        return loaded

    def _read_observed(self, given: Any) -> dict[str, int]:
        if not isinstance(given, Mapping) or not set(given) <= set(self.metrics):
            raise ValueError(
                f"expected the last step observed of {', '.join(self.metrics) or 'no metric'}, got {given!r}"
            )
        return {metric: _whole(step) for metric, step in given.items()}

    # --- what it is -----------------------------------------------------------------------------------------------

    @property
    def context(self) -> dict[str, float | int]:
        """What the text was bound to, as plain numbers."""
        return self._context.plain()

    @property
    def notes(self) -> tuple[Note, ...]:
        """What is not wrong but worth knowing, in the order of the text."""
        if self._notes is None:
            tracks = {key_of(*key): (track, self._context.base(*key)) for key, track in self.tracks.items()}
            self._notes = collect(tracks, self._context.total_steps, self._rounded)
        return self._notes

    @property
    def length(self) -> float:
        """Steps of ``lr`` until it is held for ever: an int, or inf."""
        track = self._find("lr", None)
        return 0 if track is None else track.length

    @property
    def targets(self) -> tuple[str, ...]:
        """Targets the text names."""
        return tuple(dict.fromkeys(target for target, _ in self.tracks))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics its modifiers listen to."""
        return tuple(dict.fromkeys(name for track in self.tracks.values() for name in track.program.metrics))

    def track(self, target: str, *groups: Group) -> Track | None:
        """The live schedule of a target: that of the first group named that has its own, else the common one.

        None among the groups is a group without a name.
        """
        for group in (*(group for group in groups if group is not None), None):
            found = self.tracks.get((target, group))
            if found is not None:
                return found
        return None

    def entered(self, prevs: Mapping[str, float]) -> "Schedule":
        """The same schedule, unobserved, with these values instead of the base flowing into its first segments.

        Args:
            prevs: Target → value; others than those the text names are left out.
        """
        named = {target: prevs[target] for target in self.targets if target in prevs}
        return bind(self.text, replace(self._context, prevs=named))

    def is_same_with(self, unit: str, value: float | None) -> bool:
        """Whether the text would mean the same if this keyword of its context had this value."""
        try:
            other = bind(self.text, replace(self._context, **{unit: value}))  # type: ignore[arg-type]
        except ScheduleError:
            return False
        return all(other.program(*key) == self.program(*key) for key in self.tracks)

    def program(self, target: str = "lr", group: Group = None) -> Program:
        """The Program of a target.

        Raises:
            ScheduleError: The text does not name it.
        """
        return self._track(target, group).program

    def segments(self, target: str = "lr", group: Group = None) -> tuple[SegmentRow, ...]:
        """The segment table of a target: begin, end, label, rates in and out, jumps."""
        return self._track(target, group).segments()

    def __str__(self) -> str:
        return render(self._script)

    def __repr__(self) -> str:
        return f"Schedule({str(self)!r}, length={self.length})"

    def _repr_svg_(self) -> str:
        from lrdsl.plotting import curve, svg

        return svg.render([curve.of(self)])

    def __reduce__(self) -> Any:
        return _rebuild, (self.text, self._context, self.state_dict())

    def _track(self, target: str, group: Group) -> Track:
        track = self._find(target, group)
        if track is None:
            raise ScheduleError(
                "E0803",
                f"the schedule does not name `{key_of(target, group)}`",
                hint=f"it names {', '.join(key_of(*key) for key in self.tracks)}",
            )
        return track

    def _find(self, target: str, group: Group) -> Track | None:
        if target not in TARGETS:
            hint = suggestion(str(target), TARGETS) or f"targets are {', '.join(TARGETS)}"
            raise ScheduleError("E0803", f"unknown target `{target}`", hint=hint)
        return self.track(target, group)

    def _base(self, target: str, group: Group) -> float:
        base = self._context.base(target, group)
        if base is None:
            raise ScheduleError("E0803", f"the schedule does not name `{target}`, and no base is known for it")
        return base


def compile(
    text: str | float,
    *,
    base_lr: float,
    total_steps: int | None = None,
    steps_per_epoch: float | None = None,
    tokens_per_step: float | None = None,
    samples_per_step: float | None = None,
    params: Mapping[str, float] | None = None,
    bases: Mapping[str, float] | None = None,
) -> Schedule:
    """Compile a schedule text.

    Args:
        text: The schedule; a plain number is a constant rate.
        base_lr: The learning rate that ``1x`` and ``base`` stand for.
        total_steps: Updates of the whole run; ``total``, ``rest`` and ``%`` need it.
        steps_per_epoch: Updates in one epoch, for ``3ep``.
        tokens_per_step: Tokens in one update, for ``2Btok``.
        samples_per_step: Samples in one update, for ``256_000smp``.
        params: Named plain numbers that the text may use.
        bases: Base of other targets or groups, as in ``{"weight_decay": 0.1, "lr[head]": 1e-4}``.

    Returns:
        The schedule. Asking it for a rate changes nothing.

    Raises:
        ScheduleError: The text or the context is wrong; the message shows where. It is the first error of the text,
            and `others` has the rest.

    Example:
        >>> import lrdsl
        >>> schedule = lrdsl.compile("warmup(500) >> cosine(10000, min=1e-6)", base_lr=1e-3)
        >>> schedule.lr(0), schedule.lr(250), schedule.lr(20_000)
        (0.0, 0.0005, 1e-06)
    """
    context = Context(
        base_lr, total_steps, steps_per_epoch, tokens_per_step, samples_per_step, params or {}, bases or {}
    )
    if not isinstance(text, str):
        if not isinstance(text, Real) or isinstance(text, bool):
            raise TypeError(f"expected a schedule text or a number, got {type(text).__name__}")
        rate = _double(text)
        if not math.isfinite(rate):
            raise ScheduleError("E0402", f"expected a schedule text or a finite rate, got {shown(text)}")
        text = f"constant({rate!r})"
    return bind(str.__str__(text), context)  # a plain str: a subclass may be equal to anything, and parses are kept


def bind(text: str, context: Context) -> Schedule:
    """`compile` with a context that is already made."""
    script = parse(text)
    errors = Errors()
    tracks: dict[Key, Track] = {}
    with suppress(Enough), errors, bounded(2 * NODES):
        binder = Binder(context, errors)
        named = bind_script(script, binder)
        for key, bound in named:
            with errors:
                tracks[key] = _track(key, bound, context, errors)
    _tell(errors, text)
    for (target, group), bound in named:
        for own in context.groups(target) if group is None else ():  # each starts from its own base
            if (target, own) not in tracks:
                with errors:
                    tracks[target, own] = _track((target, own), bound, context, errors)
    _tell(errors, text)
    return Schedule(text, script, context, tracks, binder.rounded)


def _tell(errors: Errors, text: str) -> None:
    error = errors.first()
    if error is not None:
        raise error.within(text)


def _track(key: Key, bound: Bound, context: Context, errors: Errors) -> Track:
    total = context.total_steps
    track = Track(lower(bound, context.base(*key), context.prev(key[0]), total, key_of(*key), errors))
    checks.sample(track, key[0], total, bound.node.span)
    return track


def _rebuild(text: str, context: Context, state: Mapping[str, Any]) -> Schedule:
    schedule = bind(text, context)
    schedule.load_state_dict(state)
    return schedule


def _difference(saved: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """What tells a saved schedule from ours: its text, or else the first value of its context."""
    there, here = saved["context"], own["context"]
    if saved["text"] != own["text"] or saved["language"] != own["language"] or not isinstance(there, Mapping):
        return f"`{saved['text']}`"
    name = next((name for name in {**here, **there} if here.get(name) != there.get(name)), "the context")
    return f"{name} was {there.get(name, 'not set')}, is {here.get(name, 'not set')}"


def _double(value: Any) -> float:
    """The nearest double; infinite if there is none."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _whole(step: Any) -> int:
    if not isinstance(step, Integral) or isinstance(step, bool):
        raise ScheduleError("E0801", f"expected a whole step, got {shown(step)}")
    if step < 0:
        raise ScheduleError("E0801", f"expected a step >= 0, got {shown(int(step))}")
    if int(step) >= STEPS:
        raise ScheduleError("E0801", f"expected a step below 2**53, got {shown(int(step))}")
    return int(step)
