"""Every picture of `attend` and `embed` at 80 and 160 columns, letter by letter, as tests/commands/pictures holds it.

After a change that is meant: UPDATE_PICTURES=1 pytest tests/commands/test_pictures.py, and look at the difference.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from llminspect.analysis.attend import AttendResult, attend
from llminspect.analysis.attention import Head, Link, WantedAttention, WatchedAttention, overview_of
from llminspect.analysis.attribution import Contributions
from llminspect.analysis.embed import EmbedResult, embed, embed_analogy, prompt_of_terms
from llminspect.analysis.find import BestHead, ControlSentence, End, Find, FoundHead
from llminspect.analysis.prompt import prompt_of_ids
from llminspect.analysis.query import Query
from llminspect.analysis.vectors import PositionCode, outlier_of, statistics_of
from llminspect.arguments.attend import AttendOptions
from llminspect.arguments.embed import EmbedOptions
from llminspect.commands.attend import view as attend_command
from llminspect.commands.embed import view as embed_command
from llminspect.core import attention_measures, geometry
from llminspect.opening import open_model
from llminspect.text.prompt import Prompt
from tests.render.samples import lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

FOLDER = Path(__file__).parent / "pictures"
WORDS = ["Alice", " gave", " Bob", " her", " book", " and", " Alice", " gave"]
IDS = np.array([1, 2, 3, 4, 5, 6, 1, 2])
TOKENS = [{"index": index, "id": int(IDS[index]), "text": word} for index, word in enumerate(WORDS)]


def weights(layers: int = 4, heads: int = 3) -> Any:
    """Random causal weights [L, H, T, T], some of them of heads with a habit."""
    made = np.exp(2 * np.random.default_rng(0).normal(size=(layers, heads, len(WORDS), len(WORDS))))
    made[0, 0] = np.eye(len(WORDS), k=-1) * 50 + 1
    made[1, 1, :, 0] = 200
    made[2, 2] = 1
    made = np.tril(made)
    return made / made.sum(axis=-1, keepdims=True)


def result(**parts: Any) -> AttendResult:
    return AttendResult(TOKENS, 4, 3, 1, True, parts.pop("heads", []), **parts)


def head(layer: int, index: int) -> Head:
    weights_TS = weights()[layer, index]
    measured = {name: float(value) for name, value in attention_measures.measure_all(weights_TS, IDS, True).items()}
    return Head(layer, index, 0, attention_measures.habit(measured), measured, weights_TS)


def overview() -> AttendResult:
    watched = WatchedAttention(open_model("toy-attention"), IDS.tolist(), WantedAttention(links=True))
    watched.layers, measures = 4, watched.measures
    for layer, weights_HTS in enumerate(weights()):
        for name, value_H in attention_measures.measure_all(weights_HTS, IDS, True).items():
            measures.setdefault(name, {})[layer] = value_H
    links = [Link(4, 2, 2, 1, 0.83, 0.05), Link(3, 1, 0, 2, 0.4, 0.02), Link(2, 1, 0, 0, 0.91, 0.5)]
    watched.links = {(link.query, link.key): link for link in links}
    return result(overview=overview_of(watched, "sink"), selected=False)


def query() -> Query:
    generator = np.random.default_rng(1)
    query_E, keys_SE, values_SE = (
        generator.normal(size=16),
        generator.normal(size=(8, 16)),
        generator.normal(size=(8, 16)),
    )
    scores_S = keys_SE @ query_E
    masked_S = np.where(np.arange(8) <= 5, scores_S / 4, -np.inf)
    weights_S = np.exp(masked_S) / np.exp(masked_S).sum()
    return Query(
        index=5,
        text=" and",
        layer=2,
        head=1,
        kv_head=0,
        chosen_by="excess",
        scale=0.25,
        query=query_E,
        keys=keys_SE,
        values=values_SE,
        scores=scores_S,
        scaled=scores_S / 4,
        masked=masked_S,
        weights=weights_S,
        output=weights_S @ values_SE,
        usual=np.where(np.arange(8) <= 5, weights_S[::-1] / 3, np.nan),
        mean_of_heads=weights_S,
        habit="previous",
        query_unrotated=query_E[::-1],
        keys_unrotated=keys_SE[::-1],
    )


def find() -> Find:
    heads = [
        FoundHead(18, 8, 0.9996, 0.9995, 0.0001, True, 0.9997, 0.0002),
        FoundHead(29, 4, 0.806, 0.433, 0.373, False, 0.81, 0.394),
        FoundHead(3, 1, 0.0213, 0.05, -0.0287, False, 0.02, -0.03),
    ]
    ends = End(" her", [3]), End("Alice", [0])
    return Find(
        *ends,
        heads,
        BestHead(2, 1, weights()[2, 1, 3]),
        ControlSentence("Mary gave Bob his book", WORDS[:5], *ends, by_position=True),
    )


def contributed() -> Contributions:
    generator = np.random.default_rng(2)
    return Contributions(4, " book", 0.05, generator.normal(0.05, 0.1, (4, 3)), np.zeros(4), np.full(4, 0.1), True)


def toy_attend(**options: Any) -> AttendResult:
    model = open_model("toy-attention")
    return attend(model, AttendOptions(**options), prompt_of_ids([0, 1, 2, 3], model.tokenizer, None))


def toy_embed(text: str, **options: Any) -> EmbedResult:
    model = open_model("toy")
    assert model.tokenizer is not None
    return embed(model, EmbedOptions(**options), [], Prompt(text, model.tokenizer.encode(text)))


def toy_analogy() -> EmbedResult:
    model, expression = open_model("toy"), "hello - world + 2*!"
    return embed_analogy(model, EmbedOptions(analogy=expression), prompt_of_terms(model, expression))


def long_vectors(**parts: Any) -> EmbedResult:
    vectors_ND = np.random.default_rng(3).normal(size=(5, 300))
    vectors_ND[0] *= 40
    return EmbedResult(
        tokens=TOKENS[:5],
        dim=300,
        at="7",
        pool="none",
        labels=WORDS[:5],
        vectors=vectors_ND,
        norms=geometry.norms(vectors_ND),
        statistics=statistics_of(vectors_ND, None),
        outlier=outlier_of(vectors_ND),
        **parts,
    )


def long_weights() -> AttendResult:
    """A head on 120 tokens, more than fit on a line each."""
    generator = np.random.default_rng(4)
    weights_TS = np.tril(np.exp(2 * generator.normal(size=(120, 120))))
    weights_TS /= weights_TS.sum(axis=1, keepdims=True)
    tokens = [{"index": at, "id": at % 8, "text": WORDS[at % 8]} for at in range(120)]
    ids = np.arange(120) % 8
    measured = {name: float(value) for name, value in attention_measures.measure_all(weights_TS, ids, True).items()}
    return AttendResult(
        tokens, 4, 3, 1, True, [Head(2, 1, 0, attention_measures.habit(measured), measured, weights_TS)]
    )


def turns() -> PositionCode:
    return PositionCode("rotary", np.arange(20)[:, None] * 100.0 ** -(np.arange(16) / 16), 0, "halves")


PICTURES: dict[str, Callable[[], RenderableType]] = {
    "attend-overview": lambda: attend_command.render(overview()),
    "attend-head": lambda: attend_command.render(result(heads=[head(0, 0)])),
    "attend-long": lambda: attend_command.render(long_weights()),
    "attend-masked": lambda: attend_command.render(toy_attend()),
    "attend-heads": lambda: attend_command.render(
        result(heads=[head(layer, at) for layer in range(2) for at in range(3)])
    ),
    "attend-steps-of-a-head": lambda: attend_command.render(toy_attend(layer="0", show="scores,queries,added,capped")),
    "attend-query": lambda: attend_command.render(result(query=query())),
    "attend-query-by-hand": lambda: attend_command.render(toy_attend(query="1")),
    "attend-find": lambda: attend_command.render(result(find=find())),
    "attend-rollout": lambda: attend_command.render(toy_attend(rollout=True)),
    "attend-mean": lambda: attend_command.render(result(mean=weights().mean(axis=(0, 1)))),
    "attend-contributions": lambda: attend_command.render(result(contributions=contributed())),
    "embed-by-hand": lambda: embed_command.render(toy_embed("world hello")),
    "embed-long": lambda: embed_command.render(long_vectors()),
    "embed-geometry": lambda: embed_command.render(
        toy_embed("hello world!", nearest=2, similarity=True, project="pca")
    ),
    "embed-repeated": lambda: embed_command.render(
        toy_embed("hello world hello hello", similarity=True, project="pca")
    ),
    "embed-nearest": lambda: embed_command.render(toy_embed("hello world", nearest=3, metric="dot", at="final")),
    "embed-analogy": lambda: embed_command.render(toy_analogy()),
    "embed-positions": lambda: embed_command.render(long_vectors(positions=turns())),
}


@pytest.mark.parametrize("columns", [80, 160])
@pytest.mark.parametrize("name", PICTURES)
def test_the_picture_is_as_it_was(name: str, columns: int) -> None:
    drawn = "\n".join(lines(PICTURES[name](), columns)) + "\n"
    path = FOLDER / f"{name}.{columns}.txt"
    if os.environ.get("UPDATE_PICTURES"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(drawn, encoding="utf-8")
    assert drawn == path.read_text(encoding="utf-8")
