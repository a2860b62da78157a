"""What a key does on the screen: most become events; some ask for a line, or write a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from textual.containers import VerticalScroll
from textual.widgets import Input

from llminspect.analysis.explore.state import PANES
from llminspect.arguments.features import PREFIX
from llminspect.commands.explore import doing
from llminspect.commands.explore.asking import problem_line
from llminspect.commands.explore.panes.features import listed_features
from llminspect.commands.explore.panes.next import next_candidates
from llminspect.commands.explore.surface import Surface
from llminspect.errors import UserError
from llminspect.render.safe import visible

MOST_PICTURES = 1000
"""Names that are tried for one."""
PANE_OF_LINE = {"beside": "tokens", "corpus": "head"}
"""Where what was typed is seen."""
EQUIVALENT = "The same by command and in Python: e goes back"
CHOOSING = ("next", "changes", "features")
LAYER_PARTS = {"silence_attention": "attention", "silence_feedforward": "feedforward"}


def press(app: Surface, action: str, key: str) -> None:
    """One key. While a line is typed only those that leave it count."""
    typing = isinstance(app.focused, Input)
    if typing:
        if action in ("cancel", "tab"):
            app.leave_line()
        return
    state = app.session.state
    tokens = 1 if app.shown.prompt is None else len(app.shown.prompt.tokens)
    back = key in ("left", "up", "comma", "shift+left", "minus")
    if action == "pane":
        app.do({"do": "pane", "pane": PANES[int(key) - 1]})
    elif action == "tab":
        app.do(*doing.next_pane(state))
    elif action == "across" and state.pane in doing.OF_HEADS:
        app.do(*doing.moved_head(app.session, 0, -1 if back else 1))
    elif action in ("across", "cursor", "key"):
        app.do(*doing.moved_token(state, tokens, "key" if action == "key" else "cursor", -1 if back else 1))
    elif action == "updown":
        _up_or_down(app, -1 if back else 1)
    elif action == "scroll":
        _scroll(app, key)
    elif action in ("scale", "silence"):
        _change_chosen(app, action, 0.5 if back else 2.0)
    elif action in LAYER_PARTS:
        app.do(*doing.toggled(state, "ablate", f"{state.layer}.{LAYER_PARTS[action]}"))
    else:
        _other(app, action)


def _change_chosen(app: Surface, action: str, factor: float) -> None:
    """Silence or scale the feature that is chosen in its pane, elsewhere the head."""
    state, name = app.session.state, f"{app.session.state.layer}.{app.session.state.head}"
    if state.pane == "features":
        listed = _listed(app)
        if not listed:
            app.word = "no feature is listed here"
            app.do_nothing()
            return
        name = f"{PREFIX}{listed[min(app.chosen, len(listed) - 1)]}"
    app.do(*(doing.toggled(state, "ablate", name) if action == "silence" else doing.scaled(state, name, factor)))


def _listed(app: Surface) -> list[int]:
    """The features of the pane, where they are those of what is looked at now."""
    found = app.shown.found if app.shown.state.pane == "features" else []
    return [index for _, result in found for index in listed_features(result)]


def _up_or_down(app: Surface, step: int) -> None:
    state = app.session.state
    if state.pane in doing.OF_HEADS and app.over is None and state.pane == "heads":
        app.do(*doing.moved_head(app.session, step, 0))
    elif state.pane in CHOOSING and app.over is None:
        count = len({"next": _candidates, "changes": lambda app: state.changes, "features": _listed}[state.pane](app))
        app.chosen = min(max(0, app.chosen + step), max(0, count - 1))
        app.do()
    else:
        app.query_one("#body", VerticalScroll).scroll_relative(y=step, animate=False)


def _scroll(app: Surface, key: str) -> None:
    body = app.query_one("#body", VerticalScroll)
    ways: dict[str, Callable[..., None]] = {
        "pageup": body.scroll_page_up,
        "pagedown": body.scroll_page_down,
        "home": body.scroll_home,
        "end": body.scroll_end,
    }
    ways[key](animate=False)


def _candidates(app: Surface) -> list[int]:
    found = [next_candidates(result) for _, result in app.shown.found]
    return [token.id for token in found[0]] if found else []


def _other(app: Surface, action: str) -> None:
    state = app.session.state
    simple: dict[str, Callable[[], object]] = {
        "back": lambda: app.do({"do": "back"}),
        "branch": lambda: app.do(*doing.next_branch(state)),
        "measure": lambda: app.do(*doing.next_measure(state)),
        "chat": lambda: app.do({"do": "chat", "chat": not state.chat}),
        "undo": lambda: _undo(app),
        "help": app.say_help,
        "equivalent": lambda: _equivalent(app),
        "edit": lambda: _edit(app),
        "cancel": lambda: _cancel(app),
        "quit": lambda: _leave(app),
        "light": lambda: _light(app),
        "enter": lambda: _enter(app),
        "unchange": lambda: app.do({"do": "unchange", "index": min(app.chosen, len(state.changes) - 1)}),
        "knobs": lambda: app.ask("knobs", _knobs(app)),
        "silence_neuron": lambda: app.ask("silence_neuron", f"{state.layer}.feedforward."),
        "patch": lambda: app.ask("second") if state.second is None else app.ask("patch", f"{state.layer}.stream"),
        "steer": lambda: app.ask("steer"),
        "target": lambda: app.ask("target", state.target or ""),
        "versus": lambda: app.ask("versus", state.versus or ""),
        "beside": lambda: _beside(app),
        "corpus": lambda: app.ask("corpus", state.corpus or ""),
        "write": lambda: app.ask("write", free_name(f"explore-{state.pane}", ".svg")),
    }
    if action == "unchange" and not state.changes:
        app.word = "nothing is changed"
        app.do_nothing()
        return
    simple[action]()


def _edit(app: Surface) -> None:
    """Only what can be drawn as it is can be typed in."""
    text = app.session.state.text
    if visible(text) != text:
        app.word = "not edited here: the text has line ends or control characters"
        app.do_nothing()
    else:
        app.query_one("#text", Input).focus()


def _beside(app: Surface) -> None:
    state = app.session.state
    if state.chat:
        app.word = "tokenizers are compared on a text as it is: c leaves the chat"
        app.do_nothing()
    else:
        app.ask("beside", state.beside or "")


def _knobs(app: Surface) -> str:
    given = vars(app.session.state.knobs)
    return " ".join(f"{name}={value:g}" for name, value in given.items() if value is not None)


def _enter(app: Surface) -> None:
    state = app.session.state
    ids = _candidates(app) if state.pane == "next" and app.shown.state == state else []
    if ids:
        app.do({"do": "take", "id": ids[min(app.chosen, len(ids) - 1)]})
    elif state.pane == "next" and app.shown.state != state:
        app.word = "the next tokens are still being computed"
        app.do_nothing()
    elif state.pane == "heads":
        app.do({"do": "pane", "pane": "head"})


def _undo(app: Surface) -> None:
    app.session.undo()
    app.follow()


def _cancel(app: Surface) -> None:
    app.computing.cancel()
    app.over, app.word = None, ""
    app.do()


def _light(app: Surface) -> None:
    app.theme = "textual-light" if app.theme == "textual-dark" else "textual-dark"


def _equivalent(app: Surface) -> None:
    if app.over is not None and app.over_name == EQUIVALENT:
        app.over = None
        app.do()
        return
    session = app.session
    try:
        wanted = session.questions()
        lines = [line for one in wanted for line in (session.command_line(one), session.python_line(one), "")]
    except UserError as error:
        lines = [error.message]
    app.say(EQUIVALENT, "\n".join(lines))


def submitted(app: Surface, what: str, text: str) -> None:
    """A line was typed."""
    if what == "write":
        app.path_to_write = Path(text.strip())
        if app.path_to_write.exists() and not app.path_to_write.is_dir():
            app.ask("overwrite")
        else:
            _write(app, app.path_to_write)
        return
    if what == "overwrite":
        if text.strip().lower() in ("y", "yes"):
            _write(app, app.path_to_write)
        else:
            app.word = f"{app.path_to_write} is as it was"
            app.do_nothing()
        return
    try:
        app.do(doing.typed(what, text))
    except UserError as error:
        app.word = problem_line(error)
        app.do_nothing()
        return
    if what in PANE_OF_LINE:
        app.do({"do": "pane", "pane": PANE_OF_LINE[what]})
    if what == "second" and app.session.state.second is not None:
        app.ask("patch", f"{app.session.state.layer}.stream")


def free_name(name: str, ending: str) -> str:
    """The name with the first number that no file here has."""
    numbered = (f"{name}{f'-{number}' if number else ''}{ending}" for number in range(MOST_PICTURES))
    return next((one for one in numbered if not Path(one).exists()), f"{name}{ending}")


def _write(app: Surface, path: Path) -> None:
    """What is seen, by the code of --save."""
    from llminspect.arguments.shared import OutputOptions
    from llminspect.cli.run import document_of
    from llminspect.cli.save import check_ending, save

    model = app.session.model
    options = OutputOptions(save=path, theme="light" if app.theme == "textual-light" else "dark")
    options_of_picture = (
        options
        if path.suffix == ".json"
        else OutputOptions(save=path, width=max(20, app.size.width - 4), theme=options.theme)
    )
    try:
        check_ending(options, arrays=False)
        document = document_of("explore", model.name, model.provenance, app.session.result())
        notes: list[str] = []
        save(options_of_picture, document, app.pane, None, notes.append)
        app.word = "; ".join([f"written: {path}", *notes])
    except UserError as error:
        app.word = problem_line(error)
    app.do_nothing()


def _leave(app: Surface) -> None:
    """Keep the session, and go."""
    try:
        app.keep()
    except UserError as error:
        app.word = f"{error.message}: q once more leaves without it"
        app.path = None
        app.do_nothing()
        return
    app.exit()
