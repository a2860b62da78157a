"""Which parts of a model, by which edges, make the difference between two texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.arguments.circuit import CircuitOptions
from llminspect.arguments.shared import SourceOptions
from llminspect.arguments.together import check_together
from llminspect.library.inputs import DEFAULT, Opened, Text, noted, opened, prompt_of, takes_options

if TYPE_CHECKING:
    from llminspect.analysis.circuit_result import CircuitResult


@takes_options
def circuit(clean: Text, corrupt: Text, model: Opened = DEFAULT, *, options: CircuitOptions) -> CircuitResult:
    """Which heads and feed-forward steps, by which edges, make the difference between two texts of as many tokens.

    What is explained is logit of target − logit of versus after `clean`, beside the same after `corrupt`. Gives `nodes`
    and `edges` of the smallest graph that was found to keep a share of that effect, each with its score in logits
    (edge attribution patching with integrated gradients), the `faithfulness` and `completeness` of the graph, measured
    by patching all other edges, or these, exactly; `control`, random graphs of the same size; `methods`, the same by
    plain attribution patching; and `scores` of all edges [R, U], whose rows are `readers` and whose columns `writers`.
    Syed et al. 2023; Hanna et al. 2024; Mueller et al. 2025. Raises UsageError for texts that have not as many tokens,
    for two that give the same, and for a model whose parts do not add up in one stream.

    >>> import llminspect
    >>> found = llminspect.circuit("Mr Toad met Mrs Hen. Mr", "Mrs Toad met Mr Hen. Mr", "toy-induction")
    >>> found.target.text, found.versus.text, round(found.faithfulness, 3), len(found.edges), found.of_edges
    ('Toad', 'Hen', 1.0, 3, 29)
    >>> sorted((edge["from"], edge["to"]) for edge in found.edges)
    [('0.0', '1.0.key'), ('1.0', 'logits'), ('embedding', '0.0.value')]
    """
    from llminspect.analysis.circuit import circuit as question

    check_together("circuit", options)
    model = opened(model)
    source = SourceOptions(special=options.special)
    prompts = [
        prompt_of(text, source if isinstance(text, str) else SourceOptions(), model.tokenizer)
        for text in (clean, corrupt)
    ]
    return noted(question(model, prompts[0], prompts[1], options), model.provenance)
