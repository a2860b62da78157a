"""MiniLM's sentence vectors are those of the reference implementation, and of plain loops over its weights.

`minilm_sentences.npz` holds what transformers 5.23 (PyTorch 2.13) gives for `texts`: the mean over the tokens of the
last hidden state.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

import llminspect
from tests.closeness import assert_close
from tests.model.golden import FOLDER

if TYPE_CHECKING:
    from llminspect.core.array import Array
    from tests.conftest import Program

erf = np.vectorize(math.erf)


def test_sentence_vectors_are_the_reference_s() -> None:
    with np.load(FOLDER / "minilm_sentences.npz") as recorded:
        texts, vectors_ND = recorded["texts"].tolist(), recorded["vectors"]
    found = llminspect.embed(*texts, model="minilm", at="final", pool="mean", similarity=True)
    assert_close(found.vectors, vectors_ND)
    unit_ND = vectors_ND / np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    assert found.similarity is not None
    assert_close(found.similarity, np.dot(unit_ND, unit_ND.T))
    # "a man eats" and "someone is eating" are alike, and neither is like a sentence about Paris.
    assert found.similarity[0, 1] > 0.7
    assert abs(found.similarity[0, 2]) < 0.1


def test_pooling_an_encoder_means_its_sentence_vectors(called: Program) -> None:
    texts = ("a man eats", "someone is eating")
    given = (*texts, "--pool", "mean", "--similarity", "--json")
    found = called("embed", *given, "--model", "minilm").json
    words = called("embed", *given, "--model", "minilm", "--at", "final").json
    assert found["at"] == "final"
    assert found["similarity"] == words["similarity"]
    assert llminspect.embed(*texts, model="minilm", pool="mean").at == "final"
    assert llminspect.embed(*texts, model="minilm").at == "embedding"
    assert llminspect.embed(*texts, model="minilm", pool="mean", at="embedding").at == "embedding"
    assert called("embed", *given).json["at"] == "embedding"


def test_sentence_vectors_are_those_of_plain_loops() -> None:
    """BERT written down once more, token by token and head by head, in float64."""
    model = llminspect.open_model("minilm")
    found = llminspect.embed("a man eats", model=model, at="final", pool="mean")
    ids = [token["id"] for token in found.tokens]
    assert ids == [101, 1037, 2158, 20323, 102]
    assert_close(found.vectors[0], sentence_vector(model, ids))


def sentence_vector(model: llminspect.Model, ids: list[int]) -> Array:
    arrays = {name: np.asarray(array, np.float64) for name, array in model.params.arrays.items()}

    def norm(x_D: Array, name: str) -> Array:
        centred_D = x_D - x_D.mean()
        scaled_D = centred_D / math.sqrt((centred_D**2).mean() + 1e-12)
        normed_D: Array = scaled_D * arrays[f"{name}.weight"] + arrays[f"{name}.bias"]
        return normed_D

    def linear(x: Array, name: str) -> Array:
        mapped: Array = np.dot(arrays[f"{name}.weight"], x) + arrays[f"{name}.bias"]
        return mapped

    tables = [arrays[name] for name in ("embedding.weight", "position.weight", "segment.weight")]
    stream = [
        norm(tables[0][token] + tables[1][place] + tables[2][0], "embedding.norm") for place, token in enumerate(ids)
    ]
    heads, width = model.config.sizes.H, model.config.sizes.E
    for index in range(model.config.sizes.L):
        layer = f"layers.{index}"
        query, key, value = (
            [linear(x, f"{layer}.attention.{part}") for x in stream] for part in ("query", "key", "value")
        )
        after = []
        for place, x_D in enumerate(stream):
            mixed = np.zeros(heads * width)
            for head in range(heads):
                columns = slice(head * width, (head + 1) * width)
                powers = [math.exp(float(np.dot(query[place][columns], k[columns])) / math.sqrt(width)) for k in key]
                for power, v in zip(powers, value, strict=True):
                    mixed[columns] += power / sum(powers) * v[columns]
            middle_D = norm(x_D + linear(mixed, f"{layer}.attention.output"), f"{layer}.middle.norm")
            hidden_F = linear(middle_D, f"{layer}.feedforward.up")
            active_F = hidden_F * (1 + erf(hidden_F / math.sqrt(2))) / 2
            after.append(norm(middle_D + linear(active_F, f"{layer}.feedforward.down"), f"{layer}.output.norm"))
        stream = after
    mean: Array = np.mean(stream, axis=0)
    return mean
