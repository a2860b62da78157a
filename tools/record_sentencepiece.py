"""`python tools/record_sentencepiece.py`: small SentencePiece models and what the library makes of hostile texts.

Needs the package sentencepiece. Writes `tests/golden/sentencepiece.json`.
"""

from __future__ import annotations

import io
import json
import random
import re
import sys
from base64 import b64encode
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import sentencepiece

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from tests.text.corpus import CORPUS  # noqa: E402

PLAIN = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}
RULES = {"，": ",", "ﬁ": "fi", "（": "( ", "Ａ": "A", "Ｂ": "fib"}
"""What normalising makes, which is a symbol of the user's in some of these."""
MODELS = {
    "llama": {"model_type": "bpe", "byte_fallback": True, "vocab_size": 400, **PLAIN},
    "gemma": {
        "model_type": "bpe",
        "byte_fallback": True,
        "vocab_size": 420,
        "add_dummy_prefix": False,
        **PLAIN,
        "user_defined_symbols": ["<sep>", "\n", "▁▁"],
    },
    "bpe": {"model_type": "bpe", "vocab_size": 180, "normalization_rule_name": "identity"},
    "t5": {"model_type": "unigram", "vocab_size": 160, "user_defined_symbols": ["<sep>"], **PLAIN},
    "unigram": {"model_type": "unigram", "vocab_size": 150, "normalization_rule_name": "identity"},
    **{
        f"symbols, {kind}": {
            "model_type": kind,
            "vocab_size": 160 + 250 * (kind == "bpe"),
            "byte_fallback": kind == "bpe",
            "rules": RULES,
            **PLAIN,
        }
        | {"user_defined_symbols": [",", "fi", "(▁", "<sep>"]}
        for kind in ("bpe", "unigram")
    },
}
PARTS = [
    *(
        "2 cats",
        "the whale",
        "  ",
        " ",
        "\n",
        "\t",
        "🙂",
        "語",
        "日本",
        "é",
        "e\u0301",
        "ﬁ",
        "A",
        "1851",
        "<s>",
        "</s>",
    ),
    *("x", "<sep>", "Alice gave", "book", "<unk>", "<0x41>", "мир"),
]


MORE = [
    "，",
    "a，b,c",
    "，，",
    " ，x",
    "x ，",
    "ﬁsh fish",
    "（the（",
    "ＡＢ",
    "Ａ，<sep>，ﬁ",
    "the ﬁrst，（second( last",
]


def with_rules(settings: dict[str, Any], folder: str) -> dict[str, Any]:
    """The settings with the rules in a file, as the library reads them."""
    rules, settings = settings.get("rules", {}), {name: value for name, value in settings.items() if name != "rules"}
    if rules:
        path, code = Path(folder, "rules.tsv"), lambda text: " ".join(f"{ord(char):X}" for char in text)
        path.write_text("".join(f"{code(a)}\t{code(b)}\n" for a, b in rules.items()))
        settings.pop("normalization_rule_name")
        settings["normalization_rule_tsv"] = str(path)
    return settings


def main() -> None:
    draw = random.Random(16)
    texts = [*PARTS, *("".join(draw.choices(PARTS, k=draw.randint(2, 7))) for _ in range(60)), *MORE]
    found = {}
    folder = mkdtemp()
    for name, settings in MODELS.items():
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(re.split(r"(?<=[.!?]) ", CORPUS) * 3),
            model_writer=model,
            character_coverage=0.98,
            hard_vocab_limit=False,
            minloglevel=2,
            **with_rules(settings, folder),
        )
        library = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
        ids = [library.encode(text) for text in texts]
        found[name] = {"model": b64encode(model.getvalue()).decode(), "ids": ids}
    document = {"sentencepiece": sentencepiece.__version__, "texts": texts, "models": found}
    (ROOT / "tests/golden/sentencepiece.json").write_text(json.dumps(document, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
