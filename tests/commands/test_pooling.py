"""Pooled vectors as the model declares them, against sentence-transformers' definitions in float64.

`pooled.npz` (tools/make_pairs.py) has the vectors of each case of `pooled.json`.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import llminspect
from tests.closeness import assert_close
from tests.model.gguf_of import write
from tests.model.golden import FOLDER, Golden

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.core.array import Array
    from tests.conftest import Program

with np.load(FOLDER / "pooled.npz") as file:
    RECORDED: dict[str, Array] = {name.partition("/")[2]: array for name, array in file.items()}
CASES: dict[str, dict[str, Any]] = json.loads((FOLDER / "pooled.json").read_text())
IDS = RECORDED["ids"].tolist()
SWITCHES = "cls_token max_tokens mean_tokens mean_sqrt_len_tokens weightedmean_tokens lasttoken".split()


def sentence_encoder(folder: Path, case: dict[str, Any]) -> Path:
    """The golden BERT with the modules of a case."""
    shutil.copytree(FOLDER / "bert-encoder", folder / "model")
    kinds = [
        "Transformer",
        "Pooling",
        *(["Dense"] if "dense" in case else []),
        *(["Normalize"] if case.get("normalize") else []),
    ]
    configs = {
        "Pooling": {"word_embedding_dimension": 36, **{f"pooling_mode_{s}": s in case["switches"] for s in SWITCHES}}
    }
    if "dense" in case:
        sizes = {"in_features": 36, "out_features": 20, "bias": True}
        configs["Dense"] = {**sizes, "activation_function": case["dense"]}
    modules = []
    for number, kind in enumerate(kinds):
        path = f"{number}_{kind}" if number else ""
        modules.append(
            {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        )
        (folder / "model" / path).mkdir(exist_ok=True)
        if kind in configs:
            (folder / "model" / path / "config.json").write_text(json.dumps(configs[kind]))
        if kind == "Dense":
            arrays = {f"linear.{name}": RECORDED[name].astype(np.float32) for name in ("weight", "bias")}
            save_file(arrays, folder / "model" / path / "model.safetensors")
    (folder / "model" / "modules.json").write_text(json.dumps(modules))
    return folder / "model"


@pytest.mark.parametrize("name", CASES)
def test_vectors_are_those_of_the_definitions(tmp_path: Path, name: str) -> None:
    found = llminspect.embed(IDS, model=str(sentence_encoder(tmp_path, CASES[name])), pool="model")
    assert_close(found.vectors[0], RECORDED[name])
    assert (found.at, found.pool, found.dim) == ("final", "model", len(RECORDED[name]))
    assert found.pooling is not None
    assert found.pooling.declared
    kinds = [
        "pool",
        *(["dense"] if "dense" in CASES[name] else []),
        *(["normalize"] if "normalize" in CASES[name] else []),
    ]
    assert [step.kind for step in found.pooling.steps] == kinds


@pytest.mark.parametrize(("kind", "case"), [(1, "mean_tokens"), (2, "cls_token"), (3, "lasttoken")])
def test_a_gguf_declares_it_by_a_number(tmp_path: Path, kind: int, case: str) -> None:
    found = llminspect.embed(IDS, model=of_gguf(tmp_path, kind), pool="model")
    assert_close(found.vectors[0], RECORDED[case])


def of_gguf(folder: Path, kind: int | None) -> str:
    import gguf

    def with_kind(writer: Any) -> None:
        writer.add_tokenizer_model("bert")
        writer.add_unk_token_id(1)
        if kind is not None:
            writer.add_pooling_type(gguf.PoolingType(kind))

    write(Golden("bert-encoder"), folder / f"{kind}.gguf", with_kind)
    return str(folder / f"{kind}.gguf")


def test_a_gguf_that_pools_nothing_or_scores(called: Program, tmp_path: Path) -> None:
    ids = ",".join(map(str, IDS))
    for kind, message in ((4, "pooling_type 4, a score of two texts"), (None, "declares no pooling")):
        ran = called("embed", "--ids", ids, "--model", of_gguf(tmp_path, kind), "--pool", "model")
        assert ran.code in (2, 3)
        assert message in ran.err
        assert len(ran.err.splitlines()) == 1
    assert llminspect.embed(IDS, model=of_gguf(tmp_path, 0), pool="model").vectors.shape == (11, 36)


def test_minilm_declares_a_mean_of_length_1(called: Program) -> None:
    with np.load(FOLDER / "minilm_sentences.npz") as recorded:
        texts, vectors_ND = recorded["texts"].tolist(), recorded["vectors"]
    unit_ND = vectors_ND / np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    assert_close(llminspect.embed(*texts, model="minilm", pool="model").vectors, unit_ND)
    # What compares texts, and what is normalized, is pooled so unless another way is chosen.
    assert_close(llminspect.embed(*texts, model="minilm", similarity=True).vectors, unit_ND)
    assert_close(llminspect.embed(texts[0], model="minilm", normalize=True).vectors[0], unit_ND[0])
    assert_close(llminspect.embed(texts[0], model="minilm", normalize=True, pool="mean").vectors[0], unit_ND[0])
    known = called("info", "minilm", COLUMNS="80").out
    assert "pooling               mean → length 1" in known
    assert "256 tokens, by the settings for sentences" in known
    shown = called("embed", *texts, "--model", "minilm", "--pool", "model")
    assert "as it gives them out; pooled as the model declares: mean → length 1" in " ".join(shown.out.split())
    tokens = llminspect.embed(texts[0], model="minilm", at=2, normalize=True)
    np.testing.assert_allclose(tokens.norms, 1, rtol=1e-6)
    assert (tokens.pool, len(tokens.vectors)) == ("none", len(tokens.tokens))


def test_another_pooling_is_noted(called: Program, tmp_path: Path) -> None:
    model = str(sentence_encoder(tmp_path, CASES["all"]))
    ran = called("embed", "--ids", "5,6,7", "--model", model, "--pool", "mean", "--json")
    (note,) = ran.json["notes"]
    assert "declares another pooling: first + max + mean + mean_sqrt + weighted_mean + last, normalize" in note
    assert note in ran.err
    assert (
        "notes" not in called("embed", "--ids", "5,6", "--model", model, "--pool", "mean", "--at", "1", "--json").json
    )
    assert llminspect.embed("a", model="minilm", pool="mean").notes is None
    assert llminspect.embed("a", model="minilm", pool="last").notes is not None
    long = llminspect.embed([101, *[1037] * 260, 102], model="minilm", pool="model")
    assert long.notes == ["262 tokens: the settings of minilm cut a text off at 256, which is not done here"]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("modules.json", "{}", "lists nothing"),
        ("modules.json", '[{"type": 5}]', "is no list of modules"),
        (
            "modules.json",
            '[{"type": "a.Transformer", "path": ""}, {"type": "a.WordWeights", "path": "1"}]',
            "WordWeights",
        ),
        ("modules.json", '[{"type": "a.Transformer", "path": ""}, {"type": "a.Pooling", "path": "../x"}]', '"../x"'),
        ("1_Pooling/config.json", '{"pooling_mode_mean_tokens": false}', "no way to pool"),
        ("1_Pooling/config.json", '{"word_embedding_dimension": 35}', "35 numbers"),
        ("1_Pooling/config.json", '{"pooling_mode_median": false}', "'pooling_mode_median'"),
        ("2_Dense/config.json", '{"out_features": 20, "activation_function": "torch.nn.Softmax"}', "'Softmax'"),
        ("1_Pooling/config.json", "{", "1_Pooling/config.json is not JSON"),
        ("config_sentence_transformers.json", '{"prompts": ["a"]}', "are no texts by name"),
        ("config_sentence_transformers.json", '{"default_prompt_name": "query"}', "default_prompt_name 'query'"),
        ("config_sentence_transformers.json", '{"default_prompt_name": ["query"]}', "default_prompt_name ['query']"),
        ("2_Dense/config.json", '{"out_features": 21}', "no layer of 36 to 21"),
        ("2_Dense/config.json", '{"out_features": 20, "bias": false}', "no layer of 36 to 20"),
        ("2_Dense/config.json", '{"out_features": 20, "module_input_name": "token_embeddings"}', "token_embeddings"),
    ],
)
def test_what_is_not_understood_is_refused(
    called: Program, tmp_path: Path, file: str, content: str, message: str
) -> None:
    folder = sentence_encoder(tmp_path, CASES["dense"])
    (folder / file).write_text(content)
    ran = called("embed", "--ids", "5,6", "--model", str(folder), "--pool", "model")
    assert ran.code == 3
    assert message in ran.err
    assert len(ran.err.splitlines()) == 1
    assert called("embed", "--ids", "5,6", "--model", str(folder), "--pool", "mean").code == 0


def test_the_newer_form_and_pickles(called: Program, tmp_path: Path) -> None:
    folder = sentence_encoder(tmp_path, CASES["dense"])
    (folder / "1_Pooling" / "config.json").write_text('{"embedding_dimension": 36, "pooling_mode": "mean"}')
    assert_close(llminspect.embed(IDS, model=str(folder), pool="model").vectors[0], RECORDED["dense"])
    (folder / "2_Dense" / "model.safetensors").rename(folder / "2_Dense" / "pytorch_model.bin")
    assert "pickle" in called("embed", "--ids", "5", "--model", str(folder), "--pool", "model").err


@pytest.mark.parametrize(
    "modes", [["mean"], ["lasttoken", "cls"], ["weightedmean", "max", "mean_sqrt_len_tokens"]], ids=" ".join
)
def test_several_ways_of_the_newer_form_stand_in_its_order(modes: list[str], tmp_path: Path) -> None:
    """As sentence-transformers 6.2 writes them: ["lasttoken", "cls"] is not ["cls", "lasttoken"]."""
    folder = sentence_encoder(tmp_path, CASES["mean_tokens"])
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"embedding_dimension": 36, "pooling_mode": modes}))
    single = {mode: next(s for s in SWITCHES if s.startswith(mode)) for mode in modes}
    wanted = np.concatenate([RECORDED[single[mode]] for mode in modes])
    assert_close(llminspect.embed(IDS, model=str(folder), pool="model").vectors[0], wanted)


@pytest.mark.parametrize("modes", [[], ["mean", "median"], [["mean"]], "median", 3])
def test_ways_of_the_newer_form_that_are_not_known(modes: Any, called: Program, tmp_path: Path) -> None:
    folder = sentence_encoder(tmp_path, CASES["mean_tokens"])
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": modes}))
    ran = called("embed", "--ids", "5,6", "--model", str(folder), "--pool", "model")
    assert ran.code == 3 and "1_Pooling names no way to pool" in ran.err


def test_capitals_that_the_settings_would_not_keep(tmp_path: Path) -> None:
    folder = sentence_encoder(tmp_path, CASES["mean_tokens"])
    with_words(folder, "a", "A")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 5, "do_lower_case": true}')
    assert llminspect.embed("a", model=str(folder), pool="model").notes is None
    (note,) = llminspect.embed("A", model=str(folder), pool="model").notes or []
    assert "lower case" in note


def with_words(folder: Path, *words: str) -> str:
    vocabulary = {word: place for place, word in enumerate(("[UNK]", *words))}
    model = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"}
    cut = {"type": "Whitespace"}
    content = {"version": "1.0", "added_tokens": [], "model": model, "pre_tokenizer": cut}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    return str(folder)


PROMPTS = {"query": "a ", "document": ""}


@pytest.mark.parametrize(
    ("settings", "text", "noted"),
    [
        ({"prompts": PROMPTS, "default_prompt_name": "query"}, "b", "put 'a ' (query) in front"),
        ({"prompts": PROMPTS, "default_prompt_name": "query"}, "a b", None),
        ({"prompts": PROMPTS, "default_prompt_name": "document"}, "b", None),
        ({"prompts": {"query": "a "}, "default_prompt_name": None, "similarity_fn_name": "cosine"}, "b", None),
        ({"prompts": {}}, "b", None),
    ],
)
def test_a_prompt_that_the_settings_would_put_in_front(
    tmp_path: Path, called: Program, settings: dict[str, Any], text: str, noted: str | None
) -> None:
    folder = sentence_encoder(tmp_path, CASES["mean_tokens"])
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    model = with_words(folder, "a", "b")
    notes = llminspect.embed(text, model=model, pool="model").notes
    assert notes is None if noted is None else noted in str(notes)
    known = called("info", model, "--json").json
    assert known["pooling"] == {"declared": True, "steps": [{"kind": "pool", "modes": ["mean"]}]}
    usual = settings.get("default_prompt_name")
    assert known.get("sentence", {}).get("default_prompt") == ("query" if usual == "query" else None)
    if settings["prompts"]:
        assert known["sentence"]["prompts"] == {"query": "a "}
        assert "query 'a '" in called("info", model, COLUMNS="60").out


def test_a_prompt_that_is_not_pooled(tmp_path: Path) -> None:
    folder = sentence_encoder(tmp_path, CASES["mean_tokens"])
    (folder / "config_sentence_transformers.json").write_text('{"prompts": {"query": "a "}}')
    (folder / "1_Pooling" / "config.json").write_text('{"include_prompt": false}')
    model = with_words(folder, "a", "b")
    assert llminspect.embed("b", model=model, pool="model").notes is None
    assert "leave the tokens of a prompt out" in str(llminspect.embed("a b", model=model, pool="model").notes)


@pytest.mark.parametrize("kind", ["Pooling", "Dense"])
def test_a_configuration_that_is_not_there_is_no_pooling(called: Program, tmp_path: Path, kind: str) -> None:
    folder = sentence_encoder(tmp_path, CASES["dense"])
    number = 1 if kind == "Pooling" else 2
    (folder / f"{number}_{kind}" / "config.json").unlink()
    ran = called("embed", "--ids", "5", "--model", str(folder), "--pool", "model")
    assert ran.code == 3
    assert f"{number}_{kind}/config.json is not there" in ran.err
    known = called("info", str(folder), "--json")
    assert known.code == 0
    assert "pooling" not in known.json
    assert f"{number}_{kind}/config.json is not there" in known.json["notes"][0]


def test_what_does_not_go_with_it(called: Program, tmp_path: Path) -> None:
    folder = str(sentence_encoder(tmp_path, CASES["dense"]))
    for more, message in ((["--at", "1"], "leave out --at"), (["--nearest", "2"], "20 numbers, those of tokens 36")):
        ran = called("embed", "--ids", "5,6", "--model", folder, "--pool", "model", *more)
        assert ran.code == 2
        assert message in ran.err
