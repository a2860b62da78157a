r"""Cutting text into pieces, words more or less, before byte-pair encoding: no merge ever crosses a cut.

A GGUF names its pre-tokenizer (`tokenizer.ggml.pre`) and this table holds the split patterns by name. They are those
of each model's own `tokenizer.json` where llama.cpp approximates, and llama.cpp's where it is the reference. A
pre-tokenizer is a sequence of patterns: the first cuts the text into matches and what lies between, the next cuts each
of those again, so that a look-ahead in a later pattern sees the end of its piece as the end of the text.

Source: OpenAI, "Language Models are Unsupervised Multitask Learners" (2019), section 2.2, for the idea and the GPT-2
pattern.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from llminspect.errors import ModelError

Patterns = tuple[str, ...]

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_QWEN2 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + _SPACES
_LLAMA3 = _QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")

# Runs of spaces in powers of two, the longest first.
_HALVES = "|".join(rf"\s{{{2**n}}}(?!\S)" for n in range(9, 1, -1)) + r"|\s{1,2}(?!\S)|\s"


def _cased(suffix: str, numbers: str, symbols: str = r" ?[^\s\p{L}\p{N}]+[\r\n/]*") -> str:
    """The pattern of GPT-4o and those after it: a word is upper case then lower case, so that `camelCase` is cut."""
    lead = r"[^\r\n\p{L}\p{N}]?"
    words = f"{lead}{_UPPER}*{_LOWER}+{suffix}|{lead}{_UPPER}+{_LOWER}*{suffix}"
    return f"{words}|{numbers}|{symbols}|{_SPACES}"


GPT4O = _cased(_CONTRACTIONS + "?", r"\p{N}{1,3}")
_KIMI = r"\p{Han}+|" + _cased(_CONTRACTIONS + "?", r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n]*").replace(
    _UPPER, r"(?:(?!\p{Han})" + _UPPER + ")"
).replace(_LOWER, r"(?:(?!\p{Han})" + _LOWER + ")")
_DEEPSEEK_WORDS = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|" + _SPACES
)
_CJK = "[一-龥\u3040-ゟ゠-ヿ]+"
# The letters of cased scripts that DeepSeek's first tokenizer lists: of Armenian and Georgian only the capitals.
_DEEPSEEK_LETTERS = (
    "["
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝ"
    "Ὗ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗ"
    "Ａ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
    "]"
)

_FAMILIES: dict[str, tuple[Patterns, str]] = {
    "gpt-2": (
        (GPT2,),
        "phi-2 jina-es jina-de jina-v1-en jina-v2-es jina-v2-de jina-v2-code roberta-bpe gigachat a.x-4.0 mellum "
        "modern-bert mpt olmo jais trillion granite-docling exaone4",
    ),
    "smollm": ((r"\p{N}", GPT2), "starcoder refact command-r codeshell exaone minerva-7b mellum2"),
    "llama-bpe": (
        (_LLAMA3,),
        "llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano dbrx smaug-bpe glm4 glm5 chatglm-bpe",
    ),
    "qwen2": ((_QWEN2,), "deepseek-r1-qwen kormo f2llmv2 stablelm2 hunyuan megrez solar-open grok-2"),
    "qwen35": (
        (_QWEN2.replace(r"?\p{L}+|", r"?[\p{L}\p{M}]+|").replace(r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{M}\p{N}]"),),
        "",
    ),
    "laguna": ((r"[^\n]+|\n+", _QWEN2), ""),
    "minicpm5": ((r"\p{N}{1,3}", _QWEN2.replace(r"|\p{N}|", r"|\p{N}+|")), ""),
    "jais-2": ((_LLAMA3.removesuffix(_SPACES) + r"\s*[\r\n]+|" + _HALVES,), ""),
    "exaone-moe": (
        (
            _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}"
            r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+",
        ),
        "",
    ),
    "ufakzeka": ((_QWEN2.removeprefix(_CONTRACTIONS + "|"),), ""),
    "seed-coder": ((_QWEN2.replace(r" ?[^\s\p{L}\p{N}]+[\r\n]*", r" ?[^\s\p{L}\p{N}\r\n]+"),), ""),
    "bailingmoe": ((_QWEN2.replace(r"\s*[\r\n]+", r"\s*[\r\n]"),), "bailingmoe2 llada-moe"),
    "tekken": ((_cased("", r"\p{N}"),), ""),
    "gpt-4o": ((GPT4O,), "llama4 kanana2 talkie minimax-m2 granite-embed-multi-97m"),
    "kimi-k2": ((_KIMI,), ""),
    "tiny_aya": ((r"\d{1,3}(?=(?:\d{3})*\b)", GPT4O), "cohere2moe"),
    "deepseek-v3": ((r"\p{N}{1,3}", _CJK, _DEEPSEEK_WORDS), "hunyuan-dense joyai-llm hy_v4"),
    "spark2_5": (
        (
            r"\p{N}{1,3}",
            _CJK,
            _DEEPSEEK_WORDS.replace(r"[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+", r"[\p{P}\p{S}]+|[\r\n]"),
            r"\p{N}",
        ),
        "",
    ),
    "afmoe": (
        (
            r"\p{N}+",
            r"\A\p{N}{1,2}(?=(?:\p{N}{3})+\Z)|\p{N}{1,3}",
            "[\u4e00-\u9fff\u3400-\u4dbf\u8c48-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf\u0e40-\u0e7f"
            "\u0e80-\u0eff\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af\u1100-\u11ff]+",
            _DEEPSEEK_WORDS,
        ),
        "",
    ),
    "youtu": (
        (
            "[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-\u303f︰-﹏]+|[ㄅ-ㄯ]+|[一-龥\u3040-ゟ゠-ヿ]+",
            _cased(_CONTRACTIONS + "?", r"\p{N}"),
        ),
        "",
    ),
    "chameleon": (
        ("<sentinel:[0-9]+>", "IMGIMG[A-I]{1,4}Z", r"[\t\n]|    |  ", r"\p{N}", r"[\p{P}!-/:-@\[-`{-~]", GPT2),
        "",
    ),
    "deepseek-llm": (
        (
            r"[\r\n]",
            r"\s?" + _DEEPSEEK_LETTERS + "+",
            r"\s?[!-/:-~！-／：-～‘-‟\u3000-。]+",
            r"\s+\Z",
            "[一-龥ࠀ-一가-\ud7ff]+",
            r"\p{N}+",
        ),
        "",
    ),
    "deepseek-coder": ((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-\ud7ff]+", r"\p{N}"), ""),
    "falcon": ((r"[\p{P}\$\+<=>\^~\|`]+", GPT2, r"[0-9][0-9][0-9]"), ""),
    "bloom": ((r" ?[^(\s|.,!?…。，、।۔،)]+",), "poro-chat gpt3-finnish"),
    "viking": ((r" ?[^(\s|.,!?…。，、।۔،)]+", r"\p{N}"), ""),
    "superbpe": ((r"\p{N}+", r"(?=(?:\d{3})+(?!\d))"), ""),
    "default": ((r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"), ""),
}

PRE_TOKENIZERS: dict[str, Patterns] = {
    name: patterns for first, (patterns, others) in _FAMILIES.items() for name in (first, *others.split())
}
"""The split patterns by the name that a GGUF gives as `tokenizer.ggml.pre`."""

WHOLE_WORDS_FIRST = frozenset(
    "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano tekken youtu glm4 glm5 minicpm5 "
    "granite-embed-multi-97m".split()
)
"""Those whose vocabularies hold words that their merges do not reach: such a word is taken whole."""

ADD_BOS = frozenset(
    "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano tekken chameleon gemma4".split()
)
"""Those whose models expect a BOS in front of a text where the file does not say."""


def patterns_named(name: str) -> Patterns:
    """The split patterns of a pre-tokenizer. Raises ModelError where the name is not known."""
    if name not in PRE_TOKENIZERS:
        raise ModelError(
            f"the model's pre-tokenizer {name!a} is not known, so a text cannot be cut as the model expects",
            "known are " + ", ".join(_FAMILIES),
        )
    return PRE_TOKENIZERS[name]


def pretokenize(text: str, patterns: Patterns) -> list[str]:
    """Cut `text` into pieces; nothing is dropped, so that joining them gives the text again."""
    pieces = [text] if text else []
    for pattern in patterns:
        find_all, split = _finders(pattern, text.isascii())
        cut: list[str] = []
        for piece in pieces:
            parts = find_all(piece)
            if sum(map(len, parts)) != len(piece):
                parts = [part for part in split(piece) if part]
            cut.extend(parts)
        pieces = cut
    return pieces


def cuts_before_spaces(patterns: Patterns) -> bool:
    """Whether a space that follows something else always begins a piece (`chunks.py`)."""
    # U+0001 stands for what no pattern names: it stays together with its spaces, unless a pattern says "all else".
    return all(
        pretokenize(f"{last}{rest}", patterns)[0] == last
        for last in "a1.!$\x01"
        for rest in (" b", "  ", " ", " 1", " \x01")
    )


@lru_cache(maxsize=64)
def _finders(pattern: str, ascii_only: bool) -> tuple[Callable[[str], list[str]], Callable[[str], list[str]]]:
    """Find all matches; split into matches and what lies between.

    `re` is imported anyway and runs these patterns 2.5 times as fast as `regex`, but knows no `\\p{...}`: enough for
    ASCII text, with the properties written out. `regex` (+15 ms) is imported for the first text that is not ASCII.
    """
    if ascii_only:
        plain = _in_ascii(pattern)
        return re.compile(plain, re.ASCII).findall, re.compile(f"({plain})", re.ASCII).split
    import regex

    return regex.compile(pattern).findall, regex.compile(f"({pattern})").split


_ASCII_PROPERTIES = {
    "L": "A-Za-z",
    "Lu": "A-Z",
    "Ll": "a-z",
    "N": "0-9",
    "P": r"!-#%-*,-/:;?@\[-\]_{}",
    "S": r"$+<=>^`|~",
    **dict.fromkeys(("Lt", "Lm", "Lo", "M", "Han"), ""),
}
_NOT_ASCII = r"^\x00-\x7f"


def _in_ascii(pattern: str) -> str:
    """The same pattern with Unicode properties written out as far as ASCII goes."""
    result = []
    in_class = False
    for part in re.findall(r"\\p\{\w+\}|\\.|.", pattern, re.DOTALL):
        if part.startswith(r"\p"):
            characters = _ASCII_PROPERTIES[part[3:-1]]
            # No letter outside ASCII occurs in the text, so a class of those is one that never matches.
            result.append(characters if in_class else f"[{characters or _NOT_ASCII}]")
            continue
        in_class = part == "[" or (in_class and part != "]")
        result.append(part)
    return "".join(result)
