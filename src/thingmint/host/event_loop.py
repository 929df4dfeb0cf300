"""Owns the choice of the event loop: uvloop's if it is installed, asyncio's otherwise."""

try:
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop  # type: ignore[assignment]  # a loop of another class

__all__ = ["new_event_loop"]
