"""Types of the compiled methods that take a job; their signatures stand in engine.pyi."""

from ringpool._core.engine import Engine

def give_methods(face: type[Engine], *names: str) -> None: ...
