"""pydantic: a field that holds a schedule, checked when the config is read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Annotated, Any

from lrdsl import ScheduleError, compile, versions

versions.require("pydantic", "2")

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler  # noqa: E402
from pydantic_core import CoreSchema, PydanticCustomError, core_schema  # noqa: E402

LATER = "E0401"  # a value that the text needs and the context lacks: the optimizer may have it


@dataclass(frozen=True)
class Checked:
    """What is known of a schedule when its config is read: ``Annotated[str, Checked(total_steps=1000)]``.

    The field takes a text, or a number for a constant rate, and holds a text. What is not known here, such as the
    length of the run, is checked by the optimizer that gets it.

    Args:
        base_lr: The optimizer's learning rate.
        total_steps: Updates of the whole run.
        steps_per_epoch, tokens_per_step, samples_per_step: What a length in epochs, tokens or samples amounts to.
        params: Named plain numbers that the text may use.

    Example:
        >>> from typing import Annotated
        >>> from pydantic import BaseModel
        >>> class Config(BaseModel):
        ...     lr: Annotated[str, Checked(params={"w": 500})] = "hold()"
        >>> Config(lr="warmup(w) >> cosine(rest)")
        Config(lr='warmup(w) >> cosine(rest)')
        >>> Config(lr=0.001)
        Config(lr='constant(0.001)')
        >>> Config(lr="cosin(rest)")
        Traceback (most recent call last):
            ...
        pydantic_core._pydantic_core.ValidationError: 1 validation error for Config
        lr
          E0204: unknown function `cosin`
          |
        1 | cosin(rest)
          | ^^^^^ did you mean `cosine`? [type=E0204, input_value='cosin(rest)', input_type=str]
    """

    base_lr: float = 1.0
    total_steps: int | None = None
    steps_per_epoch: float | None = None
    tokens_per_step: float | None = None
    samples_per_step: float | None = None
    params: Mapping[str, float] = field(default_factory=dict)

    def _check(self, value: Any) -> str:
        if not isinstance(value, str | Real) or isinstance(value, bool):
            got = {"got": type(value).__name__}
            raise PydanticCustomError("schedule_type", "expected a schedule text or a number, got {got}", got)
        try:
            return compile(value if isinstance(value, str) else float(value), **vars(self)).text
        except ScheduleError as error:
            for found in (error, *error.others):
                if found.code != LATER:
                    raise PydanticCustomError(found.code, "{message}", {"message": str(found)}) from None
        return str(value)  # a number needs no context

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.to_string_ser_schema()
        return core_schema.no_info_plain_validator_function(self._check, serialization=text)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": ["string", "number"] if handler.mode == "validation" else "string", "format": "lrdsl"}


ScheduleText = Annotated[str, Checked()]
"""A schedule's text as the type of a field; see `Checked`, for what only a context knows."""
