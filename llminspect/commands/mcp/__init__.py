"""`llminspect mcp`: the commands as tools of an assistant, over standard input and output."""

from __future__ import annotations

from llminspect.arguments.small import McpOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.waiting import hold
from llminspect.errors import UserError

RESULTS = ""
"""Its answers are those of the other commands."""
HINT = "pip install 'llminspect-cli[mcp]'"


@takes_groups
def command(options: McpOptions) -> None:
    """Let an assistant ask models: the commands as tools (Model Context Protocol).

    The assistant's program starts this command and talks to it over standard input and output; nothing listens, nothing
    is fetched, and no tool writes a file or reads one that the assistant names. The models are the toys, those that
    were fetched before, and those given here. Each tool takes the options of its command and gives its JSON.

    \b
    llminspect mcp
    llminspect mcp --model model.gguf --seconds 120
    """
    try:
        import mcp  # noqa: F401
    except ImportError:
        raise UserError("this needs the official MCP library", HINT) from None
    from llminspect.commands.mcp.server import serve

    hold()  # It waits for what it is asked.
    serve(options)
