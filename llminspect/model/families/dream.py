"""Dream: a Qwen 2 that sees both ways and fills masks; what stands at a position is predicted one position before it.

Ye et al. 2025, "Dream 7B: Diffusion Large Language Models", section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llminspect.model import decoder_files as files
from llminspect.model import masking
from llminspect.model.families import qwen

if TYPE_CHECKING:
    from llminspect.model.settings import Settings


def from_huggingface(settings: Settings) -> files.DecoderConfig:
    return masking.from_huggingface(qwen.qwen2_from_huggingface(settings), settings, masking.BY_SHARE)


def from_gguf(settings: Settings) -> files.DecoderConfig:
    return masking.from_gguf(qwen.qwen2_from_gguf(settings), settings, masking.BY_SHARE)


DREAM = files.family("dream", from_huggingface, model_type="Dream", read_gguf=from_gguf, defaults=qwen.DENSE)
ARCHITECTURE = masking.filling(DREAM)
