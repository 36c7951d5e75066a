"""Functions each of whose calls is a run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from trailhouse.producer.recording.block import RunBlock, end_run, open_plain_run

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Mapping

    from trailhouse.producer.recording.recorder import Recorder
    from trailhouse.producer.recording.run import Run

F = TypeVar("F", bound=Callable[..., Any])
Opens = Callable[[tuple[Any, ...], "Mapping[str, Any]"], "Run"]


def traced(
    recorder: Recorder,
    function: F,
    *,
    session: object,
    with_content: bool,
    metadata: Mapping[str, Any] | None,
    **named: Any,
) -> F:
    """Return *function* so that each call of it is a run; see `AuditLogger.traced`."""
    given: Any = function
    if isinstance(given, (classmethod, staticmethod)):
        inner = traced(
            recorder,
            given.__func__,
            session=session,
            with_content=with_content,
            metadata=metadata,
            **named,
        )
        return cast("F", type(given)(inner))
    call = _Call(recorder, given, session, with_content=with_content)
    noted = {"function": call.name} | dict(metadata or {})

    def open_run(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Run:
        run = open_plain_run(recorder, call.session_of(args, kwargs), metadata=noted, **named)
        call.record_arguments(run, args, kwargs)
        return run

    return cast("F", functools.wraps(given)(_wrapper(given, open_run, call)))


class _Call:
    """What is known of the calls of one function: their session, and their arguments by name."""

    def __init__(
        self, recorder: Recorder, function: Any, session: object, *, with_content: bool
    ) -> None:
        self.name = f"{function.__module__}.{getattr(function, '__qualname__', type(function).__qualname__)}"
        self._recorder = recorder
        self._session = session
        self._with_content = with_content
        try:
            self._signature = inspect.signature(function)
        except (TypeError, ValueError):  # one of C has none
            self._signature = inspect.Signature()
        self._is_parameter = isinstance(session, str) and session in self._signature.parameters

    def session_of(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> object:
        """Return the session of a call; None where asking for it raises, or the arguments do not fit."""
        if self._is_parameter:
            return self._arguments(args, kwargs).get(cast("str", self._session))
        if not callable(self._session):
            return self._session
        with self._recorder.guard("session of a traced function"):
            return self._session(*args, **kwargs)
        return None  # where asking raised

    def record_arguments(self, run: Run, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Record what the function is called with, where that is asked for."""
        if self._with_content:
            arguments = self._arguments(args, kwargs)
            owner = next(iter(self._signature.parameters), None)
            if owner in ("self", "cls"):
                arguments.pop(owner, None)
            run.message(arguments, role="user")

    def record_result(self, run: Run, result: object) -> None:
        """Record what the function returned, where that is asked for."""
        if self._with_content:
            run.message(result, role="assistant")

    def _arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        try:
            bound = self._signature.bind_partial(*args, **kwargs)
        except TypeError:  # which the call itself will raise
            return {}
        bound.apply_defaults()
        return dict(bound.arguments)


def _wrapper(function: Any, open_run: Opens, call: _Call) -> Callable[..., Any]:
    """Return what runs *function* in a run, of the same kind as it is."""
    for is_of_kind, trace in (
        (inspect.isasyncgenfunction, _traced_stream),
        (inspect.isgeneratorfunction, _traced_generator),
        (inspect.iscoroutinefunction, _traced_coroutine),
    ):
        if is_of_kind(function) or is_of_kind(getattr(function, "__call__", None)):  # noqa: B004 - what it is
            return trace(function, open_run, call)
    return _traced_function(function, open_run, call)


def _traced_function(function: Any, open_run: Opens, call: _Call) -> Callable[..., Any]:
    def trace(*args: Any, **kwargs: Any) -> Any:
        with RunBlock(lambda: open_run(args, kwargs)) as run:
            result = function(*args, **kwargs)
            call.record_result(run, result)
            return result

    return trace


def _traced_coroutine(function: Any, open_run: Opens, call: _Call) -> Callable[..., Any]:
    async def trace(*args: Any, **kwargs: Any) -> Any:
        async with RunBlock(lambda: open_run(args, kwargs)) as run:
            result = await function(*args, **kwargs)
            call.record_result(run, result)
            return result

    return trace


def _traced_generator(function: Any, open_run: Opens, _call: _Call) -> Callable[..., Any]:
    def trace(*args: Any, **kwargs: Any) -> Any:
        generator = function(*args, **kwargs)
        return (yield from _driven(open_run(args, kwargs), generator))

    return trace


def _driven(run: Run, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Yield what *generator* yields, with *run* bound while its own code runs; see PEP 380 for the form."""
    resume: Callable[[], Any] = functools.partial(next, generator)
    while True:
        try:
            with run.bound():
                item = resume()
        except StopIteration as stop:
            end_run(run, None)
            return stop.value
        except BaseException as error:
            end_run(run, error)
            raise
        try:
            sent = yield item
        except GeneratorExit as broken_off:
            _close(run, generator, broken_off)
            raise
        except BaseException as thrown:  # noqa: BLE001 - whatever the reader throws in, the generator gets
            resume = functools.partial(generator.throw, thrown)
        else:
            resume = functools.partial(generator.send, sent)


def _close(run: Run, generator: Generator[Any, Any, Any], broken_off: GeneratorExit) -> None:
    try:
        with run.bound():
            generator.close()
    except BaseException as error:
        end_run(run, error)
        raise
    end_run(run, broken_off)


def _traced_stream(function: Any, open_run: Opens, _call: _Call) -> Callable[..., Any]:
    async def trace(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        stream = function(*args, **kwargs)
        run = open_run(args, kwargs)
        resume: Callable[[], Any] = stream.__anext__
        while True:
            try:
                with run.bound():
                    item = await resume()
            except StopAsyncIteration:
                end_run(run, None)
                return
            except BaseException as error:
                end_run(run, error)
                raise
            try:
                sent = yield item
            except GeneratorExit as broken_off:
                await _aclose(run, stream, broken_off)
                raise
            except BaseException as thrown:  # noqa: BLE001 - whatever the reader throws in, the generator gets
                resume = functools.partial(stream.athrow, thrown)
            else:
                resume = functools.partial(stream.asend, sent)

    return trace


async def _aclose(run: Run, stream: AsyncGenerator[Any, Any], broken_off: GeneratorExit) -> None:
    try:
        with run.bound():
            await stream.aclose()
    except BaseException as error:
        end_run(run, error)
        raise
    end_run(run, broken_off)
