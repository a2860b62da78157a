"""Golden models with another head in place of their own, its numbers drawn: what `tools/record_heads.py` gives to the
reference and the tests to this program."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import load_file, save_file

from tests.model.golden import Golden

if TYPE_CHECKING:
    from pathlib import Path

    from llminspect.core.array import Array

TEXT_HEAD = {"classification_head.dense": "D D", "classification_head.out_proj": "N D"}
SPAN_HEAD = {"qa_outputs": "2 D"}
CHOICE, POOLED = {"classifier": "1 D"}, {"pooler.dense": "D D", "classifier": "1 D"}
CASES: dict[str, tuple[str, dict[str, str]]] = {
    "BartForSequenceClassification": ("bart", TEXT_HEAD),
    "BartForQuestionAnswering": ("bart", SPAN_HEAD),
    "MBartForSequenceClassification": ("mbart", TEXT_HEAD),
    "MBartForQuestionAnswering": ("mbart", SPAN_HEAD),
    "T5ForSequenceClassification": ("t5", TEXT_HEAD),
    "T5ForQuestionAnswering": ("t5", SPAN_HEAD),
    "UMT5ForSequenceClassification": ("umt5", TEXT_HEAD),
    "BertForNextSentencePrediction": ("bert-encoder", {"cls.seq_relationship": "2 D"}),
    "BertForMultipleChoice": ("bert-encoder", CHOICE),
    "AlbertForMultipleChoice": ("albert", {"albert.pooler": "D D", **CHOICE}),
    "RobertaForMultipleChoice": ("roberta", {"roberta.pooler.dense": "D D", **CHOICE}),
    "DistilBertForMultipleChoice": ("distilbert", {"pre_classifier": "D D", **CHOICE}),
    "ElectraForMultipleChoice": ("electra", {"sequence_summary.summary": "D D", **CHOICE}),
    "MPNetForMultipleChoice": ("mpnet", {"mpnet.pooler.dense": "D D", **CHOICE}),
    "DebertaV2ForMultipleChoice": ("deberta", POOLED),
    "ModernBertForMultipleChoice": ("modernbert", CHOICE),
    "RoFormerForMultipleChoice": ("roformer", CHOICE),
    "PLBartForSequenceClassification": ("plbart", TEXT_HEAD),
    "FlaubertForSequenceClassification": ("flaubert", {"sequence_summary.summary": "N D"}),
    "FlaubertForMultipleChoice": ("flaubert", {"sequence_summary.summary": "N D", "logits_proj": "1 N"}),
    "FlaubertForTokenClassification": ("flaubert", {"classifier": "N D"}),
    "FlaubertForQuestionAnsweringSimple": ("flaubert", SPAN_HEAD),
    "BertForPreTraining": ("bert", {"bert.pooler.dense": "D D", "cls.seq_relationship": "2 D"}),
    "AlbertForPreTraining": ("albert", {"albert.pooler": "D D", "sop_classifier.classifier": "2 D"}),
    "GPT2DoubleHeadsModel": ("gpt2", {"multiple_choice_head.summary": "1 D"}),
}
"""The golden model that has the layers, and the linear maps of the head with their shapes (N labels)."""
BESIDE = ("ForPreTraining", "DoubleHeadsModel")
"""The ends of classes whose head stands beside that which predicts words."""
OF_WORDS = (
    *("lm_head", "final_logits_bias", "cls.predictions", "predictions", "vocab_", "generator_", "decoder.bias"),
    "pred_layer",
)
LABELS = 3


def model_with(name: str, folder: Path) -> str:
    """The folder of a model of that class."""
    golden, maps = Golden(CASES[name][0]), CASES[name][1]
    config, random = golden.config(), np.random.default_rng(len(name))
    width = next(config[key] for key in ("d_model", "dim", "n_embd", "emb_dim", "hidden_size") if key in config)
    arrays = load_file(golden.folder / "model.safetensors")
    if not name.endswith(BESIDE):
        arrays = {key: array for key, array in arrays.items() if not key.startswith(OF_WORDS)}
    for key, letters in maps.items():
        rows, columns = (int({"D": width, "N": LABELS}.get(letter, letter)) for letter in letters.split())
        arrays[f"{key}.weight"] = random.normal(0, columns**-0.5, (rows, columns)).astype(np.float32)
        arrays[f"{key}.bias"] = random.normal(0, 0.5, rows).astype(np.float32)
    names = {str(index): f"kind {index}" for index in range(LABELS)} if "N D" in maps.values() else None
    config |= {"architectures": [name], **({"id2label": names} if names else {})}
    save_file(arrays, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


def ids_of(name: str) -> Array:
    """A text [T]; of a head that chooses three [C, T]. That of an encoder–decoder has two ends, then padding."""
    config = Golden(CASES[name][0]).config()
    random = np.random.default_rng(1)
    if name.endswith(("Choice", "DoubleHeadsModel")):
        return random.integers(4, min(40, config["vocab_size"]), (3, 9))
    ids = random.integers(4, min(40, config["vocab_size"]), 9)
    if config.get("is_encoder_decoder"):
        ids[[3, 7]] = config["eos_token_id"]
        ids[8] = config["pad_token_id"]
        if name.startswith("PLBart"):  # What the decoder starts with is then another than its start token.
            ids[8] = 5
    return ids
