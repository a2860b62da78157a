"""Changed sparse dictionaries, and tuned lenses: the configuration in front, the arrays after a mark."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from llminspect.core.dictionary import decode, encode
from llminspect.errors import UserError
from llminspect.files.dictionaries import read_dictionary, read_tuned_lens
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


LENS = FOLDER.parent / "tuned-lens" / "small"


def changed_lens(random: Random) -> bytes:
    """A tuned lens with another configuration, with bytes changed, or with another pickle in its archive."""
    config, parameters = json.loads((LENS / "config.json").read_text()), (LENS / "params.pt").read_bytes()
    kind = random.random()
    if kind < 0.3:
        config = mutate.changed_json(random, config)
    elif kind < 0.6:
        parameters = mutate.changed_bytes(random, parameters)
    elif kind < 0.95:
        made, archive = io.BytesIO(), zipfile.ZipFile(io.BytesIO(parameters))
        with zipfile.ZipFile(made, "w") as changed:
            for name in archive.namelist():
                data = archive.read(name)
                changed.writestr(name, mutate.changed_bytes(random, data) if name.endswith("data.pkl") else data)
        parameters = made.getvalue()
    return json.dumps(config).encode() + MARK + parameters


def check_lens(folder: Path, content: bytes) -> bool:
    place = folder / "lens"
    place.mkdir(exist_ok=True)
    config, _, parameters = content.partition(MARK)
    (place / "config.json").write_bytes(config)
    (place / "params.pt").write_bytes(parameters)
    try:
        lens = read_tuned_lens(str(place))
    except UserError as error:
        return refused(error)
    assert len(lens.weights) == len(lens.biases) and lens.weights[0].shape == 2 * lens.biases[0].shape
    return True
