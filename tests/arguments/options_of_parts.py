"""Options of commands, each with a value, for `test_pairs`."""

from __future__ import annotations

OVER = {"corpus": "--corpus CORPUSFILE", "most": "--most 20", "length": "--length 4"}
FEATURES = {
    **OVER, "top": "--top 2", "feature": "--feature 1", "at": "--at blocks.0.hook_resid_pre", "words": "--no-words",
    "examples": "--examples 1", "position": "--position 1", "ablate": "--ablate feature.2",
    "scale": "--scale feature.2*3", "steer": "--steer feature.2*5",
}  # fmt: skip
CIRCUIT = {
    "ids": "--ids", "special": "--no-special", "versus": "--versus #6", "keep": "--keep 0.3", "steps": "--steps 1",
    "controls": "--controls 2", "seed": "--seed 7", "interactive": "--interactive",
    "over": "--over PAIRSFILE",
}  # fmt: skip
DIFF = {
    **OVER, "against": "--against b", "against_model": "--against-model toy-attention", "top": "--top 2",
    "weights": "--weights",
}  # fmt: skip
PLACES = {"head": "1.0", "neuron": "1.0", "probe": "LABELSFILE", "circuit": "b e b"}
"""What stands in place of a text."""
EXPERIMENTS = {
    "ablate": "--ablate 0.1",
    "ablate_with": "--ablate-with mean",
    "ablate_from": "--ablate-from b_b_b_H<s>",
    "ablate_seed": "--ablate-seed 3",
    "corpus": "--corpus CORPUSFILE",
    "most": "--most 40",
    "length": "--length 9",
    "scale": "--scale 0.feedforward*3",
    "steer": "--steer b@0*5",
    "steer_from": "--steer-from TEXTFILE WAYSFILE@0*5",
    "features": "--features DICTIONARYFOLDER --steer feature.2*5",
    "features_at": "--features-at blocks.0.hook_resid_pre",
}
GENERATE = {
    "temperature": "--temperature 0",
    "top_k": "--top-k 3",
    "top_p": "--top-p 0.7",
    "min_p": "--min-p 0.01",
    "typical": "--typical 0.5",
    "repetition_penalty": "--repetition-penalty 3",
    "no_repeat_ngram": "--no-repeat-ngram 1",
    "sampler_order": "--sampler-order llama.cpp",
    "seed": "--seed 1",
    "max_tokens": "--max-tokens 3",
    "stop": "--stop e",
    "ignore_eos": "--ignore-eos",
    "prefix": "--prefix b",
    "alternatives": "--alternatives 1",
    "n": "--n 2",
    "beams": "--beams 2",
    "steps": "--steps",
    "length_penalty": "--length-penalty 3",
    "tree": "--tree 1",
    "diffusion_steps": "--diffusion-steps 4",
    "block_length": "--block-length 2",
    "unmask_order": "--unmask-order random",
    "lookup": "--lookup 2",
    "stream": "--stream",
    "watch": "--watch",
}
