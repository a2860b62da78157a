"""`llminspect attend`: which token looks at which, in every head."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Annotated, Literal

from llminspect.commands._attend_options import SELECTED, Asked, Keeping
from llminspect.commands._attend_save import arrays_of
from llminspect.commands._documents import Dims, Tokens
from llminspect.commands._input import Prompt, read_prompts, text_prompt, token_documents
from llminspect.commands._options import EngineOptions, ModelOptions, PageOptions, SourceOptions, takes_groups
from llminspect.commands._run import check_prompt, open_for, run_each
from llminspect.commands._save import check_ending, is_page
from llminspect.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from llminspect.commands._attend_contribution import Contributions
    from llminspect.commands._attend_find import End, Find
    from llminspect.commands._attend_overview import Overview
    from llminspect.commands._attend_pass import Head, Seen
    from llminspect.commands._attend_query import Query
    from llminspect.commands._attend_source import Cross, Encoder
    from llminspect.core.array import Array
    from llminspect.model import Model


@dataclass(frozen=True)
class Result:
    tokens: Tokens
    n_layers: int
    n_heads: int
    n_kv_heads: int
    causal: bool
    """Whether a token sees only itself and those before it."""
    heads: list[Head]
    """Those that were asked for; all of a short text."""
    shown: list[str] | None = None
    mean: Annotated[Array, Dims("T S")] | None = None
    """With --mean: the mean of the weights of the heads that were asked for."""
    overview: Overview | None = None
    query: Query | None = None
    find: Find | None = None
    rollout: Annotated[Array, Dims("T S")] | None = None
    contributions: Contributions | None = None
    part: Literal["decoder", "encoder"] | None = None
    """Of an encoder–decoder: what all else is about."""
    source: Tokens | None = None
    """Of an encoder–decoder: the text's tokens; `tokens` are then those of the target so far."""
    cross: Cross | None = None
    encoder: Encoder | None = None
    selected: bool = True
    """Whether heads were asked for."""


def run(
    model: Model,
    asked: Asked,
    prompt: Prompt,
    *,
    keeping: Keeping = SELECTED,
    control: Prompt | None = None,
) -> Result:
    """One text's attention: what was asked for, and no more of it than that is ever held."""
    from llminspect.commands._attend_choice import parse_shown
    from llminspect.commands._attend_overview import overview_of
    from llminspect.commands._attend_pass import Wanted, watch

    if model.can("source"):
        from llminspect.commands._attend_source import run_translated

        if control is not None and asked.part != "encoder":
            raise UsageError(
                "--control goes with --part encoder here", "the target so far has no other sentence beside it"
            )
        again = partial(run, keeping=keeping, control=control)
        return run_translated(model, asked, prompt, again, keeping.every)
    _refuse_parts(model, asked)
    check_prompt(model, prompt)
    chosen = list(product(*layers_and_heads(model, asked)))
    ends = _ends(model, asked, prompt)
    index = _index(asked, prompt)
    sizes = model.config.sizes
    # A model with one head has nothing to give an overview of.
    asked = replace(asked, layer="0") if sizes.L * sizes.H == 1 and not asked.selects else asked
    shown = parse_shown(asked.show)
    plain = not asked.asks and not asked.mean
    wanted = Wanted(
        heads=_kept_heads(asked, keeping, chosen, len(prompt.tokens)),
        shown=shown,
        measures=plain and not asked.selects,
        mean=chosen if asked.mean else [],
        rollout=asked.rollout,
        row=index if asked.query and len(chosen) != 1 else None,
        pair=None if ends is None else (ends[0].indices[-1], ends[1].indices),
    )
    seen = watch(model, prompt.ids, wanted)
    text = prompt.labels[index]
    return Result(
        tokens=token_documents(prompt.tokens),
        n_layers=sizes.L,
        n_heads=sizes.H,
        n_kv_heads=sizes.K,
        causal=model.config.causal,
        selected=asked.selects,
        heads=seen.heads,
        shown=list(shown) if shown != ("weights",) else None,
        mean=None if seen.mean is None else seen.mean / len(chosen),
        overview=overview_of(seen, asked.measure or "entropy") if wanted.measures else None,
        query=_query(model, asked, prompt, index, chosen, seen) if asked.query else None,
        find=None if ends is None else _find(model, asked, prompt, control, ends, chosen, seen),
        rollout=seen.rollout,
        contributions=_contributions(model, prompt.ids, index, text) if asked.contributions else None,
    )


def _refuse_parts(model: Model, asked: Asked) -> None:
    """Raise UsageError for what only an encoder–decoder has."""
    for option in ("target", "target_ids", "part"):
        if getattr(asked, option) is not None:
            name = option.replace("_", "-")
            raise UsageError(
                f"--{name}: {model.name} is not an encoder–decoder, its text is all there is", "leave it out"
            )


def layers_and_heads(model: Model, asked: Asked) -> tuple[list[int], list[int]]:
    """Those that were asked for, or all. Raises UsageError for those that do not exist."""
    from llminspect.commands._attend_choice import parse_choice

    sizes = model.config.sizes
    if not sizes.H:
        raise UsageError(f"the model {model.name} has no attention", "toy-attention has one head that can be checked")
    layers = parse_choice(asked.layer, "layer", sizes.L) or list(range(sizes.L))
    return layers, parse_choice(asked.head, "head", sizes.H) or list(range(sizes.H))


def _kept_heads(asked: Asked, keeping: Keeping, chosen: list[tuple[int, int]], tokens: int) -> list[tuple[int, int]]:
    """Those of the chosen heads whose weights are kept. Raises UsageError for too many to write as JSON."""
    numbers = len(chosen) * tokens**2
    if not keeping.every:
        return chosen if asked.selects and not asked.asks and not asked.mean else []
    if numbers <= keeping.most:
        return chosen
    if keeping.may_lack:
        return []
    raise UsageError(
        f"the weights of {len(chosen)} heads on {tokens:,} tokens are {numbers:,} numbers, too many for JSON",
        "choose with --layer 3 --head 1, name a --measure for the overview alone, or write --save weights.npz",
    )


def _ends(model: Model, asked: Asked, prompt: Prompt) -> tuple[End, End] | None:
    from llminspect.commands._attend_choice import parse_pair
    from llminspect.commands._attend_find import check_order, ends_of

    if asked.find is None:
        return None
    ends = ends_of(prompt, parse_pair(asked.find))
    check_order(*ends, model.config.causal)
    return ends


def _index(asked: Asked, prompt: Prompt) -> int:
    """The token that --query means; without it the last."""
    from llminspect.commands._attend_choice import find_word

    return find_word(prompt, asked.query, "--query")[-1] if asked.query else len(prompt.tokens) - 1


def _query(
    model: Model, asked: Asked, prompt: Prompt, index: int, chosen: Sequence[tuple[int, int]], seen: Seen
) -> Query:
    """The calculation in the one head that was chosen, or in the one of them that looks hardest at another token."""
    import numpy as np

    from llminspect.commands._attend_query import query_by_hand

    strongest = chosen[0]
    if len(chosen) > 1:
        rows_LHS = np.stack(seen.rows)
        # Token 0 is where heads rest, and every token looks at itself: neither says what this head looks for.
        if rows_LHS.shape[-1] > 2:
            rows_LHS[:, :, [0, index]] = 0
        strongest = max(chosen, key=lambda head: float(rows_LHS[head].max()))
    return query_by_hand(model, prompt.ids, index, prompt.labels[index], *strongest, chosen=len(chosen) == 1)


def _contributions(model: Model, ids: list[int], index: int, text: str) -> Contributions:
    from llminspect.commands._attend_contribution import contributions

    return contributions(model, ids, index, text)


def _find(
    model: Model,
    asked: Asked,
    prompt: Prompt,
    beside: Prompt | None,
    ends: tuple[End, End],
    chosen: Sequence[tuple[int, int]],
    seen: Seen,
) -> Find:
    from llminspect.commands._attend_choice import parse_pair
    from llminspect.commands._attend_find import check_order, control_of, ranked
    from llminspect.commands._attend_pass import Wanted, watch

    if beside is None:
        return ranked(ends, seen, chosen, None, None)
    check_prompt(model, beside)
    control = control_of(prompt, beside, parse_pair(asked.find or ""), ends)
    check_order(control.query, control.key, model.config.causal)
    pair = (control.query.indices[-1], control.key.indices)
    return ranked(ends, seen, chosen, control, watch(model, beside.ids, Wanted(pair=pair)))


def render(result: Result) -> RenderableType:
    """The picture that was asked for, and what it means."""
    from llminspect.commands._attend_render import rendering

    return rendering(result)


@takes_groups
def command(
    source: SourceOptions,
    model: ModelOptions,
    output: PageOptions,
    engine: EngineOptions,
    asked: Asked,
) -> None:
    """Show which token looks at which: all heads at a glance, one head, or one token's sum by hand.

    \b
    llminspect attend "Alice gave Bob her book"
    llminspect attend "Alice gave Bob her book" --layer 11 --head 4
    llminspect attend "A cat sat." --query cat --model toy-attention
    llminspect attend "Alice gave Bob her book" --find "her->Alice" --control "Mary gave Bob her book"

    \b
    What --measure knows, and what heads are named by:
    entropy: how evenly the weights are spread: 0 all on one token, 1 the same on each it may see
    sink: mean weight on token 0, from token 2 on
    previous: mean weight on the token before, from token 2 on
    next: mean weight on the token behind (where the future is not hidden)
    self: mean weight of a token on itself, from token 1 on
    same: mean weight on earlier places of the same token, for tokens that have one
    induction: mean weight on what came behind an earlier place of the same token
    distance: mean distance in tokens between a token and what it looks at, from token 1 on

    A head is named by the habit that takes at least half of its weight; one without is diffuse from an entropy of
    0.75 on, else mixed.
    """
    check_ending(output, arrays=True)
    check(asked)
    opened = masked(open_for(model, output, engine), asked.mask)
    in_json = output.json or source.lines or (output.save is not None and output.save.suffix == ".json")
    in_page = is_page(output)
    keeping = Keeping(
        every=in_json or in_page,
        # With a measure named, or a question asked, the document says enough without weights that do not fit.
        may_lack=not in_page and not asked.selects and (asked.asks or asked.mean or asked.measure is not None),
    )
    control = None if asked.control is None else text_prompt(asked.control, source, opened.tokenizer, None)
    working = partial(run, opened, asked, keeping=keeping, control=control)
    prompts = read_prompts(source, opened.tokenizer)
    saving = partial(arrays_of, opened, asked)
    run_each("attend", opened.name, opened.provenance, prompts, output, working, render, saving)


def check(asked: Asked) -> None:
    """Refuse what cannot be meant, before a model is opened."""
    from llminspect.commands._attend_choice import parse_pair, parse_shown

    if asked.control is not None and asked.find is None:
        raise UsageError("--control goes with --find", '--find "her->Alice" --control "Mary gave Bob her book"')
    if asked.find is not None:
        parse_pair(asked.find)
    if asked.query is not None and not asked.query.strip():
        raise UsageError("--query is empty", "give a word of the text, or the index of a token")
    if asked.measure is not None and (asked.selects or asked.asks or asked.mean):
        raise UsageError("--measure colours the overview of all heads", "leave it out: chosen heads show every measure")
    if parse_shown(asked.show) != ("weights",) and not asked.selects:
        raise UsageError("--show needs a head", "choose with --layer 3 --head 1")


def masked(model: Model, mask: Literal["none", "causal"] | None) -> Model:
    """The toy with or without the mask. Raises UsageError for a model that was trained with its own."""
    if mask is None:
        return model
    if model.name != "toy-attention":
        raise UsageError("--mask works with --model toy-attention", f"{model.name} was trained with the mask it has")
    if model.engine is not None:
        raise UsageError("--mask changes the model itself, which is compiled", "take --engine numpy")
    return replace(model, config=replace(model.config, causal=mask == "causal"))  # type: ignore[type-var]
