"""What a program in a guest told, taken as nothing else than what it should be."""

from __future__ import annotations

MAX_FIGURE = 1 << 53


def figure(value: object, least: int = 0) -> int:
    """The number itself. ValueError: it is none, or out of range."""
    if type(value) is not int or not least <= value <= MAX_FIGURE:
        raise ValueError(f"a figure is {clean(value)}")
    return value


def clean(value: object) -> str:
    """Text of the guest for a person's terminal: printable, and not endless."""
    return "".join(c if c.isprintable() else "?" for c in str(value))[:200]
