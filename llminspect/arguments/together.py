"""Which options need, and which exclude, one another, as data; one check for the command line and Python.

Every option that is given is used or refused: tests/arguments/test_pairs.py tries all pairs.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import Any

from llminspect.arguments.option import fields_of, option_name
from llminspect.errors import UsageError


@dataclass(frozen=True)
class Rule:
    """Where any of `options` is given, one of `needs` has to be as well, and none of `excludes` may be."""

    options: str
    needs: str = ""
    excludes: str = ""
    unless: str = ""
    """The rule does not hold where any of these is given."""
    message: str = ""
    """In place of the usual words; `{option}` and `{other}` are the two names."""
    hint: str = ""


LOOKS = "trace layer steps lens attribution saliency"
WRAPPING = "no_special parse chat system"

OUTPUT = [
    Rule("width theme", needs="picture", message="{option} is of a saved picture", hint="add --save picture.svg"),
    Rule("digits", needs="numbers", message="{option} rounds JSON", hint="add --json, or --save FILE.json"),
]
SOURCE = [
    Rule("chat system user", excludes="no_special parse", message="{other} says nothing to {option}"),
    Rule(
        WRAPPING,
        excludes="ids",
        unless="decode control patch against more beside",
        message="{option} says how a text becomes tokens, and {other} are tokens",
        hint="leave it out",
    ),
]
EXPERIMENTS = [Rule("ablate_with", needs="ablate")]
PATCH = [
    Rule("into", needs="patch"),
    Rule("position", needs="into"),
]
RULES: dict[str, list[Rule]] = {
    "tokenize": [
        Rule(
            "steps",
            excludes="compare count truncate",
            message="--steps shows the steps of one tokenizer",
            hint="leave out --compare, --count, --truncate",
        ),
        Rule(
            "side inside_characters",
            needs="truncate",
            message="--side and --inside-characters belong to --truncate",
            hint="add --truncate N",
        ),
        Rule(
            "truncate",
            excludes="compare count",
            message="--truncate writes a text, {other} does not",
            hint="leave out one of the two",
        ),
    ],
    "encode": [
        Rule(
            "only longest limit",
            needs="search",
            message="--only, --longest and --limit belong to --search",
            hint="for all tokens: --search '*'",
        ),
        Rule(
            "search",
            excludes=f"text file ids lines user {WRAPPING}",
            message="--search looks through the vocabulary, not through a text",
            hint="leave out the text",
        ),
        Rule("search", excludes="decode one_hot workers"),
        Rule(
            "decode",
            excludes="one_hot",
            message="--one-hot shows ids, --decode makes text of them",
            hint="leave out one of the two",
        ),
        Rule("letters", excludes="model revision", message="--letters is a model of its own, as --model letters"),
    ],
    "embed": [
        Rule(
            "words",
            needs="nearest analogy",
            message="--words goes with --nearest or --analogy",
            hint="--nearest 10 --words",
        ),
        Rule(
            "metric",
            needs="nearest analogy similarity",
            message="--metric goes with --nearest, --analogy or --similarity",
            hint="add one of them",
        ),
        Rule("exclude_inputs", needs="analogy", message="--exclude-inputs goes with --analogy"),
        Rule(
            "analogy",
            excludes=f"text file ids user more beside lines {WRAPPING}",
            message="--analogy takes the place of {other}",
            hint="give one of the two",
        ),
        Rule(
            "analogy",
            excludes="inside pool positions",
            message="--analogy adds rows of the embedding table",
            hint="leave out --at, --pool and --positions",
        ),
    ],
    "attend": [
        Rule(
            "control",
            needs="find",
            message="--control goes with --find",
            hint='--find "her->Alice" --control "Mary gave Bob her book"',
        ),
        Rule(
            "measure",
            excludes="layer head query find rollout contributions mean",
            message="--measure colours the overview of all heads",
            hint="leave it out: chosen heads show every measure",
        ),
        Rule("show", needs="layer head", message="--show needs a head", hint="choose with --layer 3 --head 1"),
        Rule("show", excludes="query find rollout contributions mean", hint="ask for one at a time"),
        Rule("query", excludes="find", hint="ask for one at a time"),
        Rule("target", excludes="target_ids", message="--target and --target-ids were given", hint="give one of them"),
        Rule("target target_ids", excludes="encoder", message="{option} is of the decoder", hint="leave out --part"),
    ],
    "forward": [
        *EXPERIMENTS,
        *PATCH,
        Rule("all", needs="lens"),
        Rule("versus", needs="attribution patch"),
        Rule("gradient", needs="saliency patch"),
        Rule("gradient", excludes="into", unless="saliency", message="--gradient says nothing with --into"),
        Rule("window", needs="surprise perplexity"),
        Rule("sweep", needs="patch"),
        Rule("sweep", excludes="into", message="--sweep and --into are two ways to patch", hint="give one of them"),
        Rule("target", excludes="target_ids", message="--target and --target-ids were given", hint="give one of them"),
        Rule("surprise", excludes="perplexity", hint="--surprise shows the perplexity as well"),
        Rule(
            "surprise perplexity",
            excludes=f"{LOOKS} at patch top",
            message="{option} scores every token and goes with no {other}",
            hint="ask for one at a time",
        ),
        Rule("interactive", needs="lens", message="--interactive goes with --lens here", hint="add --lens"),
    ],
    "generate": [
        *EXPERIMENTS,
        *PATCH,
        Rule(
            "patch",
            needs="into",
            message="--patch without --into is a sweep, and each of its places would write a text of its own",
            hint="say where, as in --into 3.stream --position 4; llminspect forward --patch finds the place",
        ),
        Rule(
            "n",
            excludes="greedy",
            message="--n with temperature 0 would give the same text each time",
            hint="take --temperature 1",
        ),
        Rule(
            "top_k top_p min_p typical seed",
            excludes="greedy",
            message="{option} says nothing where the most probable token is taken",
            hint="take a --temperature above 0",
        ),
        Rule("length_penalty", needs="beams"),
        Rule(
            "beams",
            excludes="drawing top_k top_p min_p typical seed n repetition_penalty",
            message="--beams searches, it does not draw",
            hint="leave out --beams, or the sampling options",
        ),
        Rule(
            "beams",
            excludes="stop prefix",
            message="--beams does not go with --stop or --prefix",
            hint="leave one of them out",
        ),
        Rule(
            "beams",
            excludes="lookup",
            message="--lookup guesses for one text, --beams follows several",
            hint="leave one of them out",
        ),
        Rule("stream", excludes="watch", message="--stream and --watch show two different things", hint="give one"),
        Rule(
            "stream watch",
            excludes="beams",
            message="--beams knows its text only at the end",
            hint="leave out {option}",
        ),
        Rule(
            "watch",
            excludes="n json lines",
            message="--watch draws one text as it is written and does not go with {other}",
            hint="drop one",
        ),
        Rule("stream", excludes="json lines", message="--stream writes a text, {other} does not", hint="drop one"),
        Rule("stream", excludes="steps tree alternatives", message="--stream shows only the text, without {other}"),
    ],
    "diff": [
        Rule(
            "",
            needs="against against_model",
            message="nothing to compare with",
            hint="give --against TEXT or --against-model NAME",
        )
    ],
    "walk": [Rule("paused", excludes="json lines", message="{option} waits for a person, {other} is for programs")],
    "info": [Rule("name", excludes="model", message="the model was named twice", hint="give one of MODEL and --model")],
    "verify": [Rule("name", excludes="model", message="the model was named twice", hint="give MODEL or --model")],
    "cache": [
        Rule("limit", needs="clear", message="--limit goes with clear", hint="llminspect cache clear --limit 2GB"),
    ],
}


def check_together(command: str, *groups: Any) -> None:
    """Raise UsageError for options of a command that need another, or do not go together.

    `groups` are its options, or some of them: a rule about options that are not there does not hold.
    """
    names, given = _given(groups)
    for rule in [*RULES.get(command, []), *SOURCE, *OUTPUT]:
        firsts = [name for name in rule.options.split() if name in given]
        if (rule.options and not firsts) or given & set(rule.unless.split()):
            continue
        option = names[firsts[0]] if firsts else ""
        needed = [name for name in rule.needs.split() if name in names]
        others = [name for name in rule.excludes.split() if name in given]
        if others:
            _refuse(rule, option, names[others[0]], "{option} and {other} do not go together", "leave one of them out")
        if needed and not given & set(needed):
            other = " or ".join(names[name] for name in needed)
            _refuse(rule, option, other, "{option} says nothing without {other}", "give {other} as well")


def _refuse(rule: Rule, option: str, other: str, message: str, hint: str) -> None:
    words = {"option": option, "other": other}
    raise UsageError((rule.message or message).format(**words), (rule.hint or hint).format(**words))


def _given(groups: tuple[Any, ...]) -> tuple[dict[str, str], set[str]]:
    """The names of all options, and the fields that differ from their defaults: those that were given.

    What the environment sets was not. Some names stand for what follows from a value (`greedy`, `picture`).
    """
    names, given, values = {}, set(), {}
    for group in groups:
        kind: Any = type(group)
        for field in dataclasses.fields(kind):
            _, option = fields_of(kind)[field.name]
            value = values[field.name] = getattr(group, field.name)
            names[field.name] = option_name(field.name, option).strip("[].")
            variable = option.settings.get("envvar")
            from_environment = variable is not None and os.environ.get(variable) == str(value)
            if value != field.default and value not in ([], ()) and not from_environment:
                given.add(field.name)
    facts = {
        "no_special": ("--no-special", values.get("special") is False),
        "greedy": ("--temperature 0", values.get("temperature") == 0),
        "drawing": ("sampling", (values.get("temperature") or 0) > 0),
        "encoder": ("--part encoder", values.get("part") == "encoder"),
        "inside": ("--at", values.get("at") not in (None, "embedding")),
        "clear": ("clear", values.get("action") == "clear"),
    }
    if "save" in values:
        suffix = "" if values["save"] is None else values["save"].suffix
        facts["picture"] = ("--save", suffix not in ("", ".json", ".npz"))
        facts["numbers"] = ("--json", bool(values["json"] or values.get("lines") or suffix == ".json"))
    if values.get("paused") is False:
        given.discard("paused")
    return {**names, **{fact: name for fact, (name, _) in facts.items()}}, given | {
        fact for fact, (_, holds) in facts.items() if holds
    }
