"""Where dictionaries read: the numbers of TransformerLens at its hook points, of transformers at its modules' edges."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from llminspect.analysis.opened_dictionary import tapped
from llminspect.core.tap import Capture, Chain, Edit
from llminspect.errors import UsageError
from llminspect.model.hook_points import place_of
from llminspect.opening import open_model
from tests.closeness import assert_close

if TYPE_CHECKING:
    from llminspect.core.array import Array
    from llminspect.model.opened import Model

GOLDEN = Path(__file__).parent.parent / "golden"
with np.load(GOLDEN / "dictionaries" / "hooks.npz") as _recorded:
    HOOKS = {name: _recorded[name] for name in _recorded.files}
IDS = HOOKS.pop("ids").tolist()
FED = "layers.1.feedforward.output"


@pytest.mark.parametrize("name", sorted(HOOKS))
def test_a_stream_is_that_of_transformer_lens(name: str) -> None:
    family, *centred, hook = name.split()
    model = open_model(str(GOLDEN / family))
    out = "blocks.1.hook_mlp_out" if hook.endswith("hook_normalized") else None
    place = place_of(model, hook, out, bool(centred))
    kept, expected = tapped(model, place, IDS), HOOKS[name]
    read_TD = place.vectors(model, kept[place.read])
    assert_close(read_TD, expected.reshape(len(IDS), -1))
    target_TO = place.targets(kept[place.write])
    assert_close(target_TO, HOOKS[f"{family} {out}"] if out else expected.reshape(len(IDS), -1))
    assert_close(place.in_place(kept[place.write], target_TO), kept[place.write])
    assert place.widths(model) == (read_TD.shape[1], target_TO.shape[1])


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "granite", "phi"])
@pytest.mark.parametrize("name", ["blocks.1.attn.hook_z", "layers.1.mlp", "layers.1.self_attn", "layers.1"])
def test_what_a_row_adds_is_what_the_model_makes_of_it(family: str, name: str) -> None:
    model = open_model(str(GOLDEN / family))
    place = place_of(model, name, None, False)
    if not name.endswith("layers.1") and "norm_after.weight" in " ".join(model.params.layer(1)):
        return  # Its norm has a size of its own.
    kept = tapped(model, place, IDS)
    row_O = np.random.default_rng(1).normal(size=place.widths(model)[1]).astype(np.float32)
    streams = []
    for delta in (0 * row_O, row_O):
        change = place.change(kept[place.write], np.tile(delta, (len(IDS), 1)))
        after = Capture("layers.1.output")
        still = [] if "feedforward" in place.write else [Edit(FED, lambda array, fixed: fixed, fed(model))]
        model.run(IDS, Chain([Edit(place.write, lambda array, more: array + more, change), *still, after]))
        streams.append(after["layers.1.output"])
    assert_close(np.tile(place.into_stream(model, row_O[None])[0], (len(IDS), 1)), streams[1] - streams[0], 1e-4)


def fed(model: Model) -> Array:
    """What the feed-forward step adds to a text that is left alone."""
    kept = Capture(FED)
    model.run(IDS, kept)
    return kept[FED]


@pytest.mark.parametrize(("hook", "out", "centred", "message"), [
    ("blocks.7.hook_resid_post", None, False, "has no layer 7"),
    ("layers.7", None, False, "has no layer 7"),
    ("blocks.1.attn.hook_q", None, False, "'blocks.1.attn.hook_q', which is not read"),
    ("blocks.1.attn.hook_pattern", None, False, "not read"),
    ("hook_embed", None, False, "not read"),
    ("layers.1.mlp.down_proj", None, False, "not read"),
    ("blocks.1.hook_resid_post", None, True, "center_writing_weights"),
    ("blocks.1.ln2.hook_normalized", None, False, "does not say where it writes"),
    ("blocks.1.ln2.hook_normalized", "blocks.0.hook_mlp_out", False, "writes at 'blocks.0.hook_mlp_out'"),
    ("layers.1.self_attn", "", False, "has no step for"),
])  # fmt: skip
def test_places_that_are_not_there_are_refused(hook: str, out: str | None, centred: bool, message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        place_of(open_model(str(GOLDEN / "llama")), hook, out, centred)
    assert len(raised.value.message.splitlines()) == 1


def test_layers_without_attention_and_steps_side_by_side_are_told() -> None:
    with pytest.raises(UsageError, match="no attention"):
        place_of(open_model(str(GOLDEN / "jamba")), "blocks.0.hook_attn_out", None, False)
    with pytest.raises(UsageError, match="side by side"):
        place_of(open_model(str(GOLDEN / "phi")), "blocks.1.hook_resid_mid", None, False)
