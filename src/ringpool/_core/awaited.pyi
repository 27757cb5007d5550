import asyncio
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

# Not a subclass of it, but whatever takes one takes this.
class AwaitedJob(asyncio.Future[T]):
    @property
    def job(self) -> Future[T]: ...

class Mailbox:
    @property
    def loop(self) -> Any: ...
    @property
    def expected(self) -> dict[Future[Any], AwaitedJob[Any]]: ...
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None: ...
    def expect(self, job: Future[Any], loop: asyncio.AbstractEventLoop) -> AwaitedJob[Any]: ...
