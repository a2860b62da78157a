"""Dream: a Qwen 2 that sees both ways and fills masks; what stands at a position is predicted one position before it.

Ye et al. 2025, "Dream 7B: Diffusion Large Language Models", section 3.
"""

from __future__ import annotations

from llminspect.model import decoder_files as files
from llminspect.model.families import llada, qwen
from llminspect.model.settings import Settings


def from_huggingface(settings: Settings) -> files.DecoderConfig:
    return llada.filling_from_huggingface(qwen.qwen2_from_huggingface(settings), settings, llada.BY_SHARE)


def from_gguf(settings: Settings) -> files.DecoderConfig:
    return llada.filling_from_gguf(qwen.qwen2_from_gguf(settings), settings, llada.BY_SHARE)


ARCHITECTURE = files.family(
    "dream", from_huggingface, model_types=("Dream",), read_gguf=from_gguf, defaults=qwen.DENSE, **llada.FILLING
)
