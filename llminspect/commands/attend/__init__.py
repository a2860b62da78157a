"""`llminspect attend`: which token looks at which, in every head."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from llminspect.arguments.attend import AttendOptions, check_attend
from llminspect.arguments.experiments import ExperimentOptions, PatchOptions
from llminspect.arguments.shared import EngineOptions, ModelOptions, OverOptions, PageOptions, PairOptions
from llminspect.cli.groups import takes_groups
from llminspect.cli.input import read_prompts
from llminspect.cli.opening import open_model_for
from llminspect.cli.over import over_file, read_instead
from llminspect.cli.run import run_each
from llminspect.cli.save import is_page

if TYPE_CHECKING:
    from llminspect.analysis.attend import Keeping

RESULTS = "analysis.attend.AttendResult analysis.over.OverResult"


@partial(takes_groups, arrays=True)
def command(
    source: PairOptions,
    model: ModelOptions,
    output: PageOptions,
    engine: EngineOptions,
    options: AttendOptions,
    patch: PatchOptions,
    experiments: ExperimentOptions,
    over: OverOptions,
) -> None:
    """Show which token looks at which: all heads at a glance, one head, or one token's sum by hand.

    \b
    llminspect attend "Alice gave Bob her book"
    llminspect attend "Alice gave Bob her book" --layer 11 --head 4
    llminspect attend "A cat sat." --query cat --model toy-attention
    llminspect attend "Alice gave Bob her book" --find "her->Alice" --control "Mary gave Bob her book"
    llminspect attend --over texts.jsonl --measure induction

    --ablate, --scale, --steer and --patch change the model: all that is shown is then of the changed one. With --over a
    record may have find beside its text: {"text": …, "find": "her->Alice"}.

    \b
    The measures, from which heads also get their names:
    entropy: how evenly weights are spread: 0 all on one token, 1 the same on all
    sink: mean weight on token 0, from token 2 on
    previous: mean weight on the token before, from token 2 on
    next: mean weight on the next token (where the future is not hidden)
    self: mean weight of a token on itself, from token 1 on
    same: mean weight on earlier places of the same token, where it has one
    induction: mean weight on what came after an earlier place of the same token
    distance: mean distance in tokens to what a token looks at, from token 1 on

    A head is named after the habit that takes at least half of its weight. A head without one is called diffuse if its
    entropy is 0.75 or more, else mixed.
    """
    from llminspect.analysis.attend import attend, with_mask
    from llminspect.analysis.attention_arrays import attention_arrays
    from llminspect.analysis.changed import ModelChanges
    from llminspect.analysis.long_texts import noted_before, noted_of_examples
    from llminspect.analysis.prompt import text_prompt

    check_attend(options)
    opened = with_mask(open_model_for(model, output, engine), options.mask)
    if over.over is not None:
        from llminspect.analysis.over_questions import attend_over

        over_file("attend", over.over, output, opened, partial(attend_over, opened, options, source))
        return
    control = None if options.control is None else text_prompt(options.control, source, opened.tokenizer, None)
    source_ids = None if patch.patch is None else text_prompt(str(patch.patch), source, opened.tokenizer, None).ids
    instead = read_instead(opened, experiments, source, output)
    changes = ModelChanges(experiments, patch, source_ids, instead)
    how: dict[str, Any] = {"keeping": _keeping(options, output, source), "control": control, "changes": changes}
    working = partial(attend, opened, options, target_as_given=source.special is False, **how)
    prompts = read_prompts(source, opened.tokenizer)
    arrays = partial(attention_arrays, opened, options, changes=changes)
    shown: Any = {"arrays": arrays, "shown": noted_of_examples(opened, experiments)}
    before = partial(noted_before, opened, others=[control])
    run_each("attend", opened.name, opened.provenance, prompts, output, working, before=before, **shown)


def _keeping(options: AttendOptions, output: PageOptions, source: PairOptions) -> Keeping:
    """Which heads' weights the output has to hold."""
    from llminspect.analysis.attend import Keeping

    in_json = output.json or source.lines or (output.save is not None and output.save.suffix == ".json")
    in_page = is_page(output)
    return Keeping(
        every=in_json or in_page,
        # With a measure named, or a question asked, the document says enough without weights that do not fit.
        may_lack=not in_page and not options.selects and (options.asks or options.mean or options.measure is not None),
    )
