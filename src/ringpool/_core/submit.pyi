"""Types of the compiled methods that take a job; their signatures stand in engine.pyi."""

from collections.abc import Callable
from typing import Any, TypeVar

from ringpool._core.engine import Engine

T = TypeVar("T")

class Submission:
    @property
    def withdrawn(self) -> bool: ...
    def withdraw(self) -> None: ...
    def make(self, submit: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T: ...

def give_methods(face: type[Engine], *names: str) -> None: ...
