"""Which options need, and which exclude, one another, as data."""

from __future__ import annotations

from llminspect.core.dataclass import dataclass


@dataclass(frozen=True)
class Rule:
    """Where any of the first options is given, one of those it "needs" has to be as well, and none of those it
    "excludes" may be; "unless" any of some others is given.

    `{option}` and `{other}` in the message and the hint are the two names; empty are those of USUAL.
    """

    sentence: str
    message: str = ""
    hint: str = ""


USUAL = {
    "needs": ("{option} has no effect without {other}", "give {other} as well"),
    "excludes": ("{option} and {other} do not go together", "leave one of them out"),
}
OTHER_TEXTS = "text file ids lines user pair"
"""What --over stands in the place of."""
LOOKS = "trace layer steps lens attribution saliency"
WRAPPING = "no_special parse chat system tools template_options"

OUTPUT = [
    Rule("width theme needs drawn", "{option} is for a saved picture", "add --save picture.svg"),
    Rule("digits needs numbers", "{option} rounds JSON", "add --json, or --save FILE.json"),
]
SOURCE = [
    Rule("revision needs on_hub", "{option} is for models on the hub, and none is named", "as in --model org/name"),
    Rule("chat system user excludes no_special", "{other} has no effect with {option}"),
    # What goes on after a chat may be a special token: its end.
    Rule("chat system user excludes parse unless score scores", "{other} has no effect with {option}"),
    Rule("tools template_options needs chat system user"),
    *(
        Rule(
            f"{options} excludes ids unless decode control patch against more beside{others}",
            "{option} says how a text becomes tokens, and {other} are tokens",
            "leave it out",
        )
        for options, others in (("no_special", " target_ids"), ("parse chat system", ""))
    ),
]
PAIR = [
    Rule(
        "pair excludes ids chat system user more beside control patch analogy decode search",
        "--pair is read together with the one TEXT",
        "leave out {other}, or --pair",
    )
]
CHANGES = [
    Rule("ablate_with needs ablate"),
    Rule("ablate_from ablate_seed needs resampled"),
    Rule("corpus needs averaged resampled"),
    Rule("resampled needs ablate_from corpus", "{option} needs a text to take from", "give {other}"),
    Rule("ablate_from excludes corpus ablate_seed"),
    Rule("most length needs corpus"),
    Rule("length excludes resampled"),
    Rule("features needs ablate scale steer", "{option} needs a change that names a feature", "--ablate feature.5"),
    Rule("features_at needs features"),
    Rule("resampled excludes align", "{option} takes the positions of one text, and --align those of two"),
    Rule("into needs patch over"),
    Rule("position needs into"),
    Rule("align needs patch over"),
]
TARGET = Rule("target excludes target_ids", "--target and --target-ids were given", "give one of them")
LANGUAGE = Rule(
    "target_language excludes target_ids", "{option} puts a token in front of a target, and ids are the whole"
)
RULES: dict[str, list[Rule]] = {
    "tokenize": [
        Rule(
            "steps excludes compare count truncate",
            "--steps shows the steps of one tokenizer",
            "leave out --compare, --count, --truncate",
        ),
        Rule(
            "side inside_characters needs truncate",
            "--side and --inside-characters belong to --truncate",
            "add --truncate N",
        ),
        Rule("pair excludes compare count truncate steps"),
        Rule(
            "watch excludes count truncate json save lines ids file chat system user pair max_tokens_allowed cost",
            "--watch reads a text from the keyboard and does not go with {other}",
            "leave out one of the two",
        ),
        Rule(
            "paths needs file",
            "several texts were given",
            "put one text in quotes; to write JSON to a file: --json > FILE; to count files: --count --file PATH PATH",
        ),
        Rule("top_files budget by_line paths needs count", "{option} has no effect without {other}", "add --count"),
        Rule("prices needs cost", hint="add --cost with a name of that table"),
        Rule("budget excludes max_tokens_allowed", hint="give one of them"),
        Rule("budget excludes lines", "--budget is for one text, or for files", "for each line: --max-tokens-allowed"),
        Rule(
            "by_line excludes compare lines ids chat system user",
            "--by-line is for one text and one tokenizer",
            "leave out {other}, or --by-line",
        ),
        Rule("paths excludes compare by_line ids lines chat system user", "{other} is for one text, not for files"),
        Rule(
            "truncate excludes compare count", "--truncate writes a text, {other} does not", "leave out one of the two"
        ),
    ],
    "encode": [
        Rule(
            "only longest limit needs search",
            "--only, --longest and --limit belong to --search",
            "for all tokens: --search '*'",
        ),
        Rule(
            f"search excludes text file ids lines user {WRAPPING}",
            "--search looks through the vocabulary, not through a text",
            "leave out the text",
        ),
        Rule("search excludes decode one_hot workers"),
        Rule("decode excludes one_hot", "--one-hot shows ids, --decode makes text of them", "leave out one of the two"),
        Rule("letters excludes model revision", "--letters is a model of its own, as --model letters"),
    ],
    "embed": [
        Rule("words needs nearest analogy", "--words goes with --nearest or --analogy", "--nearest 10 --words"),
        Rule(
            "metric needs nearest analogy similarity",
            "--metric goes with --nearest, --analogy or --similarity",
            "add one of them",
        ),
        Rule("exclude_inputs needs analogy", "--exclude-inputs goes with --analogy"),
        Rule(
            f"analogy excludes text file ids user more beside lines {WRAPPING}",
            "--analogy takes the place of {other}",
            "give one of the two",
        ),
        Rule(
            "analogy excludes inside pool normalize positions",
            "--analogy adds rows of the embedding table",
            "leave out --at, --pool, --normalize and --positions",
        ),
    ],
    "attend": [
        *CHANGES,
        Rule("patch needs into", "--patch needs a place here", "say where, as in --into 3.stream"),
        Rule(
            "ablate scale steer steer_from patch into align excludes over contributions control",
            "{option} changes the model, and {other} is about the model as it is",
            "leave one of them out; llminspect forward --attribution takes changes",
        ),
        Rule("steps needs query"),
        Rule(
            "control needs find", "--control goes with --find", '--find "her->Alice" --control "Mary gave Bob her book"'
        ),
        Rule(
            "measure excludes layer head query find rollout contributions mean",
            "--measure colours the overview of all heads",
            "leave it out: chosen heads show every measure",
        ),
        Rule(f"over excludes {OTHER_TEXTS}", "--over takes the place of {other}", "give one of the two"),
        Rule(
            "over excludes query rollout contributions mean show control steps interactive arrays target target_ids "
            "target_language part",
            "--over sums up measures, or --find, and does not go with {other}",
            "leave one of them out",
        ),
        Rule("show excludes query find rollout contributions mean", hint="ask for one at a time"),
        Rule("show needs layer head", "--show needs a head", "choose with --layer and --head"),
        Rule("query excludes find", hint="ask for one at a time"),
        TARGET,
        LANGUAGE,
        Rule("target target_ids target_language excludes encoder", "{option} is for the decoder", "leave out --part"),
    ],
    "forward": [
        *CHANGES,
        Rule(
            "resampled excludes surprise perplexity score scores",
            "{option} takes the positions of one text, and {other} reads several",
            "leave out {other}, or take --ablate-with mean",
        ),
        Rule("all tuned_lens needs lens"),
        Rule("neurons needs attribution"),
        Rule(f"over excludes {OTHER_TEXTS}", "--over takes the place of {other}", "give one of the two"),
        Rule(
            "over excludes trace layer steps all saliency neurons perplexity score scores interactive arrays top "
            "target_ids target_language tuned_lens",
            "--over sums up numbers that all texts have, and does not go with {other}",
            "leave one of them out",
        ),
        Rule("versus needs attribution patch ablate scale steer steer_from over integrated"),
        Rule("integrated needs saliency"),
        Rule("exact needs gradient"),
        Rule("exact needs patch every over"),
        Rule("exact excludes saliency", "--exact compares ways to patch", "leave out --saliency"),
        Rule("integrated excludes gradient", "--gradient and --integrated are two ways", "give one of them"),
        Rule("baseline path_steps of needs integrated"),
        Rule("of excludes versus", "--versus always divides the difference of the logits", "leave out {option}"),
        Rule("gradient needs saliency patch every over"),
        Rule("gradient excludes into unless saliency", "--gradient has no effect with --into"),
        Rule("window needs surprise perplexity"),
        Rule("sweep needs patch every over", hint="give --patch TEXT, or --ablate each"),
        Rule("noising needs patch over"),
        Rule("sweep noising excludes into", "{option} tries every place, and --into is one", "give one of them"),
        Rule(
            "every excludes patch into surprise perplexity score scores",
            "{option} tries every place by itself and does not go with {other}",
            "ask for one at a time",
        ),
        TARGET,
        LANGUAGE,
        Rule("surprise excludes perplexity", hint="--surprise shows the perplexity as well"),
        Rule(
            f"surprise perplexity excludes {LOOKS} at patch top versus",
            "{option} scores every token and does not go with {other}",
            "ask for one at a time",
        ),
        Rule(
            f"score scores excludes {LOOKS} at patch surprise perplexity all gradient interactive versus",
            "{option} scores what follows and does not go with {other}",
            "ask for one at a time",
        ),
        Rule("score scores excludes arrays", "{option} has no arrays to save", "--save FILE.json"),
        Rule("interactive needs lens", "--interactive goes with --lens here", "add --lens"),
    ],
    "circuit": [Rule("over excludes clean corrupt ids", "--over takes the place of {other}", "give one of the two")],
    "generate": [
        *CHANGES,
        Rule(
            "patch needs into",
            "--patch without --into tries every place, and each would give another text",
            "say where, as in --into 3.stream --position 4; llminspect forward --patch finds the place",
        ),
        Rule(
            "n excludes greedy unless by_chance",
            "--n with temperature 0 would give the same text each time",
            "take --temperature 1",
        ),
        Rule(
            "top_k top_p min_p typical sampler_order excludes greedy",
            "{option} says nothing where the most probable token is taken",
            "take a --temperature above 0",
        ),
        Rule(
            "seed excludes greedy unless by_chance",
            "{option} says nothing where the most probable token is taken",
            "take a --temperature above 0",
        ),
        Rule(
            "sampler_order needs ordered model_settings",
            "{option} changes nothing without two of --temperature, --top-p, --min-p and --typical",
            "add two of them, or leave it out",
        ),
        Rule("length_penalty needs beams model_settings"),
        Rule(
            "beams excludes drawing top_k top_p min_p typical seed n sampler_order",
            "--beams searches, it does not draw",
            "leave out --beams, or the sampling options",
        ),
        Rule("beams excludes stop prefix", "--beams does not go with --stop or --prefix", "leave one of them out"),
        Rule("beams excludes lookup", "--lookup guesses for one text, --beams follows several"),
        Rule("stream excludes watch", "--stream and --watch show two different things", "give one"),
        Rule("stream watch excludes beams", "--beams has its text only at the end", "leave out {option}"),
        Rule("watch excludes n json lines", "--watch draws one text as it is written and does not go with {other}"),
        Rule("stream excludes json lines", "--stream writes a text, {other} does not", "drop one"),
        Rule("stream excludes steps tree alternatives", "--stream shows only the text, without {other}"),
    ],
    "diff": [
        Rule(
            "needs against against_model against_adapter", "nothing to compare with", "give --against TEXT or a model"
        ),
        Rule("weights corpus needs against_model against_adapter"),
        Rule(f"weights corpus excludes against {OTHER_TEXTS} {WRAPPING}"),
        Rule("most length needs corpus"),
    ],
    **{name: [Rule("most length needs corpus")] for name in ("head", "diff_models")},
    **{name: [Rule("most length examples lowest needs corpus")] for name in ("neuron", "features")},
    "walk": [Rule("paused excludes json lines", "{option} waits for a person, {other} is for programs")],
    "info": [Rule("name excludes model", "the model was named twice", "give one of MODEL and --model")],
    "models": [Rule("kinds excludes picture")],
    "verify": [Rule("name excludes model", "the model was named twice", "give MODEL or --model")],
    "cache": [
        Rule(
            "limit everything yes needs clear", "{option} goes with clear", "as in llminspect cache clear --limit 2GB"
        ),
        Rule("everything excludes names", "{option} takes no names", "name what to remove, or say {option}"),
    ],
}
