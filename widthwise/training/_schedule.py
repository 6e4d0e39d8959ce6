"""How the learning rate changes from step to step: a warm-up, then constant or decayed to 0."""

import optax

from .._errors import unknown
from .._numbers import whole_number

SCHEDULES = ("constant", "linear", "cosine")


def schedule(kind: str, steps: int, warmup: int = 0) -> optax.Schedule:
    """The factor on the base rate at each step.

    **Arguments:** `kind`: after the warm-up `"constant"`, or decayed to 0 by `"linear"` or `"cosine"`; `steps`: in all;
    `warmup`: first steps over which the factor rises, 1/w at the first of w and 1 after the last.

    **Raises:** `InputError` for an unknown kind, and a warm-up that is negative or leaves no step.
    """
    most = max(steps, 1) - 1
    remedy = f"it must be a whole number from 0 to {most}, below the number of steps"
    warmup = whole_number("warmup", warmup, 0, most, remedy)
    rest = steps - warmup
    makers = {
        "constant": lambda: optax.constant_schedule(1.0),
        "linear": lambda: optax.linear_schedule(1.0, 0.0, rest),
        "cosine": lambda: optax.cosine_decay_schedule(1.0, rest),
    }
    if kind not in makers:
        raise unknown("schedule", kind, makers)
    after = makers[kind]()
    if not warmup:
        return after
    # The first step is made at 1/w, not at 0, where nothing would move.
    rising = optax.linear_schedule(1.0 / warmup, 1.0 + 1.0 / warmup, warmup)
    return optax.join_schedules([rising, after], [warmup])
