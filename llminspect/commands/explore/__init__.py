"""`llminspect explore`: the model under one's fingers, in the terminal."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from llminspect.arguments.shared import ModelOptions, OutputOptions, SourceOptions
from llminspect.arguments.small import ExploreOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.input import read_text
from llminspect.cli.opening import open_model_for
from llminspect.cli.run import emit
from llminspect.cli.save import check_folder
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.analysis.explore.events import Event
    from llminspect.analysis.explore.session import Session

RESULTS = "analysis.explore.session.ExploreResult"

SENTENCE = "The capital of France is"
"""What is looked at where nothing else was given."""


@takes_groups
def command(options: ExploreOptions, model: ModelOptions, output: OutputOptions) -> None:
    """Explore a model in the terminal: its tokens, heads, layers, next tokens, and what changes them.

    \b
    llminspect explore
    llminspect explore "Alice gave Bob her book" --session alice.json
    llminspect explore --features sae

    ? lists the keys. A session is kept as the list of what was done. Without a terminal, or with --json, all
    of it is done once more, and the state at its end is written.
    """
    from llminspect.analysis.explore.session import Session, read_session
    from llminspect.analysis.explore.state import ExploreState

    events: list[Event] = []
    first = None
    if options.session is not None and options.session.exists():
        if options.text is not None or options.chat:
            raise UsageError(
                f"--session {options.session.name} has a text of its own",
                "leave TEXT and --chat out, or name a new file",
            )
        name, first, events = read_session(options.session)
        if model.model == ModelOptions().model:
            model = replace(model, model=name)
    screen = all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))  # It is drawn on the last.
    interactive = not output.json and output.save is None and screen
    if options.session is not None and first is None and not interactive:
        raise UsageError(f"there is no session {options.session.name!r:.100}", "explore makes one on a terminal")
    if options.session is not None:
        check_folder(options.session)
    if first is None:
        first = ExploreState(_text(options), options.chat)
    if options.features is not None or options.features_at is not None:
        first = replace(first, features=options.features, features_at=options.features_at)
    opened = open_model_for(model, output)
    session = Session(opened, first, events)
    if interactive:
        _interactive(session, options, output)
        return
    emit("explore", opened.name, opened.provenance, session.result(), output, details={"session": session})


def _text(options: ExploreOptions) -> str:
    """The text to begin with; the sentence where there is none, and none in the pipe."""
    if options.text is None and sys.stdin.isatty():
        return SENTENCE
    return read_text(SourceOptions(text=options.text)) or SENTENCE


def _interactive(session: Session, options: ExploreOptions, output: OutputOptions) -> None:
    """On the terminal, until it is left; then the session is kept."""
    from llminspect.analysis.explore.kept import kept
    from llminspect.cli.waiting import hold, release
    from llminspect.commands.explore.app import Explorer

    session.model = kept(session.model)
    hold()
    try:
        explorer = Explorer(session, options.session)
        explorer.run()
    finally:
        release()
    if explorer.return_code:
        raise SystemExit(explorer.return_code)
