"""The server: lists the tools, and answers each call with a process of its own that can be ended at any time.

A process a call, as what is asked comes from an assistant, and through it from strangers: what takes too long or says
too much ends there, and two calls cannot touch each other. It starts in a fraction of a second.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

import anyio
import orjson
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.types import (
    CallToolRequestParams,
    CallToolResult,
    ContentBlock,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)

from llminspect.analysis.known_models import known_models
from llminspect.arguments.option import each
from llminspect.arguments.small import McpOptions, ModelsOptions
from llminspect.commands.mcp.tools import CommandTool, ToolCall, command_tools
from llminspect.errors import UserError
from llminspect.version import __version__

if TYPE_CHECKING:
    from anyio.abc import ByteReceiveStream, Process


NOTES = 4_000
"""Bytes of notes that go with an answer."""
_RUNNING = set["Process"]()
INSTRUCTIONS = (
    "Opens real language models and shows what happens inside, number by number: tokens, vectors, attention, "
    "probabilities. Start with tokenize, attend or forward; help explains a word. Layers, heads and positions count "
    "from 0. An answer that is too long says so: ask for one layer, one head, fewer tokens."
)


def serve(options: McpOptions) -> None:
    """Answer on standard output what comes on standard input, until that ends."""
    anyio.run(_serve, options)


async def _serve(options: McpOptions) -> None:
    with suppress(NotImplementedError, AttributeError):  # Windows has other signals, and no handlers of them here.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, _end, number)
    async with stdio_server() as (reader, writer):
        server = make_server(options)
        await server.run(reader, writer, server.create_initialization_options())


def _end(number: int) -> NoReturn:
    """End with what is computed. At once: a thread waits for input, which nothing else ends."""
    for process in _RUNNING:
        with suppress(ProcessLookupError):
            process.kill()
    os._exit(128 + number)


@asynccontextmanager
async def _running(process: Process) -> AsyncIterator[None]:
    _RUNNING.add(process)
    try:
        yield
    finally:
        _RUNNING.discard(process)


def _bound(process: Process, seconds: float) -> None:
    """Where the system can (Linux), see to it that a process ends although this one was killed."""
    with suppress(ImportError, AttributeError, OSError, ValueError):
        import resource

        most = int(seconds * (os.cpu_count() or 1)) + 10
        resource.prlimit(process.pid, resource.RLIMIT_CPU, (most, most))


def make_server(options: McpOptions) -> Server[Any]:
    """The server of all tools, over whichever streams."""
    tools = {tool.name: tool for tool in command_tools()}
    models = _models(options)
    one_at_a_time = anyio.Semaphore(1)

    async def list_tools(_: Any, __: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[_described(tool, models) for tool in tools.values()])

    async def call_tool(_: Any, params: CallToolRequestParams) -> CallToolResult:
        tool = tools.get(params.name)
        if tool is None:
            return _refusal(f"there is no tool {params.name!r:.60}; there are {', '.join(tools)}")
        try:
            call = tool.call(params.arguments or {}, models)
        except UserError as error:
            return _refusal(f"{error.message}; {error.hint}" if error.hint else error.message)
        async with one_at_a_time:
            return await _answer(call, options)

    return Server(
        "llminspect", version=__version__, instructions=INSTRUCTIONS, on_list_tools=list_tools, on_call_tool=call_tool
    )


def _models(options: McpOptions) -> list[str]:
    """The names that tools take: those given first; of the catalogue what is there."""
    known = known_models(ModelsOptions())
    fetched = [model.name for model in known.catalogue if model.fetched]
    return list(dict.fromkeys([*each(options.models), *fetched, *(toy.name for toy in known.toys), *known.tokenizers]))


def _described(tool: CommandTool, models: list[str]) -> Tool:
    return Tool(
        name=tool.name,
        description=tool.summary,
        input_schema=tool.input_schema(models),
        output_schema=tool.output_schema(),
        annotations=ToolAnnotations(
            read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
        ),
    )


async def _answer(call: ToolCall, options: McpOptions) -> CallToolResult:
    """What a process of that command line writes."""
    command = [sys.executable, "-m", "llminspect", *call.words]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "100"}
    text = b"" if call.text is None else call.text.encode("utf-8", "surrogatepass") + b"\n"
    written, notes = bytearray(), bytearray()
    with anyio.move_on_after(options.seconds) as limit:
        async with (
            await anyio.open_process(command, stdin=subprocess.PIPE, env=environment) as process,
            _running(process),
            anyio.create_task_group() as tasks,
        ):
            _bound(process, options.seconds)
            tasks.start_soon(_feed, process, text)
            tasks.start_soon(_read, process, process.stdout, written, options.most + 1)
            tasks.start_soon(_read, process, process.stderr, notes, NOTES)
    if limit.cancelled_caught:
        return _refusal(f"no answer after {options.seconds} seconds: ask for less, or ask a smaller model")
    if len(written) > options.most:
        return _refusal(
            f"the answer is longer than {options.most:,} bytes: ask for less (one layer, one head, a shorter text)"
        )
    beside = _texts(notes)
    try:
        document = orjson.loads(written)
    except orjson.JSONDecodeError:
        content = beside or _texts(f"llminspect {call.words[0]} ended with {process.returncode}".encode())
        return CallToolResult(content=content, is_error=True)
    failed = "error" in document  # Which says what the notes would.
    content = [*_texts(written), *([] if failed else beside)]
    return CallToolResult(content=content, structured_content=document, is_error=failed)


def _texts(data: bytes | bytearray) -> list[ContentBlock]:
    text = data.decode("utf-8", "replace").strip()
    return [TextContent(type="text", text=text)] if text else []


async def _feed(process: Process, text: bytes) -> None:
    assert process.stdin is not None
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):  # It ended before, and says why.
        await process.stdin.send(text)
        await process.stdin.aclose()


async def _read(process: Process, stream: ByteReceiveStream | None, into: bytearray, most: int) -> None:
    """All of a stream, up to so many bytes; a process that says more is ended."""
    assert stream is not None
    async for data in stream:
        into += data[: most - len(into)]
        if len(into) == most:
            with suppress(ProcessLookupError):
                process.kill()


def _refusal(message: str) -> CallToolResult:
    return CallToolResult(content=_texts(message.encode()), is_error=True)
