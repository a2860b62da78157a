"""Changed sparse dictionaries: the configuration in front, the arrays after a mark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from llminspect.core.dictionary import decode, encode
from llminspect.errors import UserError
from llminspect.files.dictionaries import read_dictionary
from llminspect.model.dictionary_files import dictionary_of
from tests.fuzz import mutate
from tests.fuzz.refusal import refused

if TYPE_CHECKING:
    from random import Random

FOLDER = Path(__file__).parent.parent / "golden" / "dictionaries"
NAMES = ["standard", "old-topk", "topk-by-length", "gated", "jumprelu", "skip-transcoder", "sparsify/layers.1.mlp"]
MARK = b"\n--\n"


def changed_dictionary(random: Random) -> bytes:
    """Of SAELens or of sparsify; the weights of one may stand beside the configuration of another."""
    config = json.loads((FOLDER / random.choice(NAMES) / "cfg.json").read_text())
    if random.random() < 0.7:
        config = mutate.changed_json(random, config)
    weights = next((FOLDER / random.choice(NAMES)).glob("*.safetensors"))
    return weights.name.encode() + MARK + mutate.json_bytes(random, config) + MARK + weights.read_bytes()


def check_dictionary(folder: Path, content: bytes) -> bool:
    place = folder / "dictionary"
    place.mkdir(exist_ok=True)
    name, _, rest = content.partition(MARK)
    config, _, weights = rest.partition(MARK)
    for file in place.iterdir():
        file.unlink()
    (place / "cfg.json").write_bytes(config)
    (place / ("sae.safetensors" if name == b"sae.safetensors" else "sae_weights.safetensors")).write_bytes(weights)
    try:
        made = dictionary_of(read_dictionary(str(place))).dictionary
    except UserError as error:
        return refused(error)
    x_TD = np.ones((2, len(made.encoder_DF)), np.float32)
    activation_TF = encode(made, x_TD)
    assert activation_TF.shape == (2, made.features) and (activation_TF >= 0).all()
    assert decode(made, activation_TF, x_TD).shape == (2, made.decoder_FO.shape[1])
    return True
