"""How two texts stand together in an encoder, where its files do not say so as a template."""

from __future__ import annotations

from collections.abc import Sequence

from llminspect.text.tokenizer import PairPart


def pair_of_bert(prefix_ids: Sequence[int], suffix_ids: Sequence[int]) -> Sequence[tuple[PairPart, int]]:
    """[CLS] first [SEP] second [SEP]: the second and the last [SEP] are of segment 1 (Devlin et al. 2019, section 3);
    nothing where one of the two tokens is missing."""
    front, back = [(token_id, 0) for token_id in prefix_ids], [(token_id, 0) for token_id in suffix_ids]
    whole = [*front, ("first", 0), *back, ("second", 1), *((token_id, 1) for token_id in suffix_ids)]
    return whole if front and back else ()  # type: ignore[return-value]


def pair_of_roberta(
    prefix_ids: Sequence[int], suffix_ids: Sequence[int], between: Sequence[int | None]
) -> Sequence[tuple[PairPart, int]]:
    """<s> first </s> </s> second </s>, all of segment 0, as `RobertaTokenizer` of transformers has it; `between` is the
    </s> that no text alone has. Nothing where one of the tokens is missing."""
    if not prefix_ids or not suffix_ids or None in between:
        return ()
    parts: list[PairPart | None] = [*prefix_ids, "first", *suffix_ids, *between, "second", *suffix_ids]
    return [(part, 0) for part in parts if part is not None]
