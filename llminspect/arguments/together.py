"""Options that need, and that exclude, one another: one check for the command line and Python.

Every option that is given is used or refused: tests/arguments/test_pairs.py tries all pairs.
"""

from __future__ import annotations

import dataclasses
import os
import re
from typing import Any

from llminspect.arguments.option import each, fields_of
from llminspect.arguments.rules import OUTPUT, PAIR, RULES, SOURCE, USUAL
from llminspect.errors import UsageError


def check_together(command: str, *groups: Any) -> None:
    """Raise UsageError for options of a command that need another, or do not go together.

    `groups` are its options, or some of them: a rule about options that are not there does not hold.
    """
    names, given = _given(groups)
    for rule in [*RULES.get(command, []), *SOURCE, *PAIR, *OUTPUT]:
        sentence, _, unless = rule.sentence.partition(" unless ")
        first, relation, others = re.split(r"\b(needs|excludes)\b", sentence)
        firsts, needs = [name for name in first.split() if name in given], relation == "needs"
        if (first and not firsts) or given & set(unless.split()):
            continue
        found = [name for name in others.split() if name in (names if needs else given)]
        if not found or (needs and given & set(found)):
            continue
        other = " or ".join(names[name] for name in (found if needs else found[:1]))
        words = {"option": names[firsts[0]] if firsts else "", "other": other}
        message, hint = USUAL[relation]
        raise UsageError((rule.message or message).format(**words), (rule.hint or hint).format(**words))


def _given(groups: tuple[Any, ...]) -> tuple[dict[str, str], set[str]]:
    """The names of all options, and the fields that differ from their defaults: those that were given.

    What the environment sets was not. Some names stand for what follows from a value (`greedy`, `drawn`).
    """
    names, given, values = {}, set(), {}
    for group in groups:
        kind: Any = type(group)
        for field in dataclasses.fields(kind):
            _, option = fields_of(kind)[field.name]
            value = values[field.name] = getattr(group, field.name)
            names[field.name] = option.shown.strip("[].")
            variable = option.settings.get("envvar")
            from_environment = variable is not None and os.environ.get(variable) == str(value)
            usual = field.default if option.usual is None else option.usual
            if value not in (field.default, usual, [], ()) and not from_environment:
                given.add(field.name)
    in_order = [values.get(name) for name in ("temperature", "top_p", "min_p", "typical")]
    facts = {
        "ordered": ("two filters", sum(value not in (None, 1) for value in in_order) > 1),
        "no_special": ("--no-special", values.get("special") is False),
        "greedy": ("--temperature 0", values.get("temperature") == 0),
        "by_chance": ("--unmask-order random", values.get("unmask_order") in ("random", "chance")),
        "drawing": ("sampling", (values.get("temperature") or 0) > 0),
        "encoder": ("--part encoder", values.get("part") == "encoder"),
        "averaged": ("--ablate-with mean", values.get("ablate_with") == "mean"),
        "every": ("--ablate each", any("each" in entry.split(",") for entry in each(values.get("ablate")))),
        "resampled": ("--ablate-with resample", values.get("ablate_with") == "resample"),
        "inside": ("--at", values.get("at") not in (None, "embedding")),
        "clear": ("clear", values.get("action") == "clear"),
        "on_hub": ("a model on the hub", "revision" in given and _any_on_hub(values)),
    }
    if "save" in values:
        suffix = "" if values["save"] is None else values["save"].suffix
        facts["drawn"] = ("--save", suffix not in ("", ".json", ".npz"))
        facts["arrays"] = ("--save FILE.npz", suffix == ".npz")
        facts["numbers"] = ("--json", bool(values["json"] or values.get("lines") or suffix == ".json"))
    if values.get("paused") is False:
        given.discard("paused")
    return {**names, **{fact: name for fact, (name, _) in facts.items()}}, given | {
        fact for fact, (_, holds) in facts.items() if holds
    }


def _any_on_hub(values: dict[str, Any]) -> bool:
    """Whether a model or tokenizer that is named can be one of the hub: no path that is there, no name of ours."""
    from llminspect.files.home import expanded
    from llminspect.files.hub import is_hub_name

    named = [values.get(field) for field in ("model", "name", "against_model")]
    named += each(values.get("compare"))
    return any(name and is_hub_name(name) and not os.path.exists(expanded(name)) for name in named)
