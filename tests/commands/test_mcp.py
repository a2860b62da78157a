"""The commands as tools of an assistant, asked by the official library's own client."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from mcp import ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client

from llminspect import commands
from llminspect.commands.mcp.tools import LONGEST, command_tools
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mcp.types import CallToolResult

    from tests.conftest import Program

TOOLS = {tool.name: tool for tool in command_tools()}
MODELS = ["toy", "toy-attention"]
CALL = "/".join(["tools", "call"])  # Which is no file of ours.


def session(work: Callable[[ClientSession], Awaitable[Any]], *arguments: str) -> Any:
    """What `work` makes of a server of its own, talked to through its standard input and output."""

    async def run() -> Any:
        words = ["-m", "llminspect", "mcp", *arguments]
        server = StdioServerParameters(command=sys.executable, args=words, env=dict(os.environ))
        async with stdio_client(server) as streams, ClientSession(*streams) as client:
            await client.initialize()
            return await work(client)

    return anyio.run(run)


def texts(answer: CallToolResult) -> str:
    return "\n".join(part.text for part in answer.content if part.type == "text")


def test_tools_are_the_commands_that_only_look() -> None:
    writes = {name for name in commands.names() if commands.result_types(name)}
    assert writes - TOOLS.keys() == {"cache", "explore", "features", "pull", "probe", "schema"}
    for tool in TOOLS.values():
        for name, parameter in tool.parameters.items():
            named = str(parameter.option.settings.get("metavar"))
            assert not any(word in named for word in ("FILE", "FOLDER", "PATH")), (tool.name, name)
            assert name not in {"save", "json", "file", "offline", "engine", "threads", "coordinator"}
    assert TOOLS["attend"].input_schema(MODELS)["properties"]["model"]["enum"] == MODELS
    assert TOOLS["tokenize"].input_schema(MODELS)["properties"]["compare"]["anyOf"][0]["enum"] == MODELS


def test_a_call_becomes_the_command_line_that_a_person_would_write() -> None:
    call = TOOLS["attend"].call({"text": "-x", "model": "toy", "layer": 1, "head": "0-2", "rollout": True}, MODELS)
    assert (
        call.words == ["attend", "--model=toy", "--layer=1", "--head=0-2", "--rollout", "--json"] and call.text == "-x"
    )
    assert TOOLS["head"].call({"place": "-1"}, MODELS).words == ["head", "--model=toy", "--json", "--", "-1"]
    both = TOOLS["circuit"].call({"corrupt": "b", "target": "c", "clean": "a"}, MODELS).words
    assert both == ["circuit", "--target=c", "--model=toy", "--json", "--", "a", "b"]
    assert TOOLS["info"].call({}, MODELS).words == ["info", "--model=toy", "--json"]
    assert TOOLS["tokenize"].call({"special": False, "text": "a"}, MODELS).words[1] == "--no-special"
    assert "--stop=a" in TOOLS["generate"].call({"stop": ["a", "b"]}, MODELS).words


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("attend", {"nope": 1}, "attend takes no 'nope'"),
        ("attend", {"file": "/etc/passwd"}, "attend takes no 'file'"),
        ("attend", {"adapter": "/tmp"}, "attend takes no 'adapter'"),
        ("attend", {"model": "/etc/passwd"}, "is not a model of this server"),
        ("tokenize", {"compare": ["toy", "/etc/passwd"]}, "is not a model of this server"),
        ("diff", {"against_model": "../m"}, "is not a model of this server"),
        ("circuit", {"corrupt": "b"}, "corrupt was given, but not clean"),
        ("info", {"model": "/etc"}, "is not a model of this server"),
        ("info", {"name": "/etc"}, "info takes no 'name'"),
        ("forward", {"target": "a\0b"}, "the character 0"),
        ("forward", {"target": "a" * (LONGEST + 1)}, "longer than"),
        ("forward", {"target": {"a": 1}}, "is not one value"),
        ("forward", {"target": ["a", "b"]}, "is not one value"),
        ("forward", {"steer": "secret.npz:a@1*4"}, "names a file"),
        ("generate", {"steer": ["a@1", "/x/y.NPZ@1"]}, "names a file"),
        ("forward", {"target": True}, "True is not a value"),
        ("diff", {"text": "a", "against": True}, "True is not a value"),
        ("attend", {"rollout": "yes"}, "is not true or false"),
    ],
)
def test_what_a_tool_does_not_take_is_refused(name: str, given: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        TOOLS[name].call(given, MODELS)


def test_answers_are_the_commands_own(called: Program) -> None:
    hostile = "-x\n\n é\u202e \t"

    async def work(client: ClientSession) -> dict[str, CallToolResult]:
        listed = (await client.list_tools()).tools
        assert [tool.name for tool in listed] == list(TOOLS)
        assert all(tool.annotations and tool.annotations.read_only_hint for tool in listed)
        return {
            "attend": await client.call_tool("attend", {"text": "A cat sat.", "model": "toy-attention", "layer": 0}),
            "hostile": await client.call_tool("tokenize", {"text": hostile, "model": "bytes"}),
            "dash": await client.call_tool("tokenize", {"text": "-", "model": "bytes"}),
            "help": await client.call_tool("help", {"topic": "logit"}),
            "wrong": await client.call_tool("attend", {"text": "A cat sat.", "model": "toy-attention", "layer": 7}),
            "none": await client.call_tool("cache", {}),
        }

    answers = session(work)
    wanted = called(
        "attend", "A cat sat.", "--model", "toy-attention", "--layer", "0", "--json", HF_HUB_OFFLINE="1"
    ).json
    assert answers["attend"].structured_content == wanted == json.loads(texts(answers["attend"]))
    assert answers["hostile"].structured_content["text"] == hostile
    assert answers["dash"].structured_content["text"] == "-"
    assert answers["help"].structured_content["topics"][0]["name"] == "logit"
    assert answers["wrong"].is_error and answers["wrong"].structured_content["error"]["code"] == "usage"
    assert answers["none"].is_error and "there is no tool 'cache'" in texts(answers["none"])


def test_answers_have_an_end() -> None:
    async def work(client: ClientSession) -> tuple[CallToolResult, CallToolResult]:
        long = await client.call_tool("tokenize", {"text": "many words " * 300, "model": "bytes"})
        slow = await client.call_tool("generate", {"text": "Hi", "model": "smollm2", "max_tokens": 100_000})
        return long, slow

    long, slow = session(work, "--most-bytes", "5000", "--seconds", "2")
    assert long.is_error and "longer than 5,000 bytes" in texts(long)
    assert slow.is_error and "no answer after 2 seconds" in texts(slow)


def test_without_the_library_one_line_says_how_to_get_it(called: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    ran = called("mcp")
    assert ran.code == 1 and ran.err == (
        "llminspect: this needs the official MCP library (pip install 'llminspect-cli[mcp]')\n"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_nothing_goes_on_without_the_server(number: signal.Signals) -> None:
    """What it was computing ends with it; of one that was killed, after the seconds that it was given."""
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}
    endless = {"text": "world", "model": "toy", "max_tokens": 10**7, "ignore_eos": True}
    messages: list[dict[str, Any]] = [
        {"id": 0, "method": "initialize", "params": hello},
        {"method": "notifications/initialized"},
        {"id": 1, "method": CALL, "params": {"name": "generate", "arguments": endless}},
    ]
    words = [sys.executable, "-m", "llminspect", "mcp", "--seconds", "100"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        assert server.stdin is not None
        for message in messages:
            server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        server.stdin.flush()
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
        while not (found := children.read_text().split()):
            time.sleep(0.05)
        while not (limits := Path(f"/proc/{found[0]}/limits").read_text()):
            time.sleep(0.05)
        server.send_signal(number)
        assert server.wait(60) == (-number if number == signal.SIGKILL else 128 + number)
    most = 100 * (os.cpu_count() or 1) + 10
    if number == signal.SIGKILL:
        assert re.search(rf"Max cpu time +{most} +{most} ", limits)
        os.kill(int(found[0]), signal.SIGKILL)
    else:
        while _runs(found[0]):
            time.sleep(0.05)


def _runs(process: str) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("value", [[True], [None], [["a"]], [{}], None, {"a": 1}])
def test_what_is_no_text_is_no_text(value: object) -> None:
    given = {"text": "world", "score": value}
    if value is None:
        assert "--score" not in " ".join(TOOLS["forward"].call(given, MODELS).words)
    else:
        with pytest.raises(UsageError, match="is not one value"):
            TOOLS["forward"].call(given, MODELS)
