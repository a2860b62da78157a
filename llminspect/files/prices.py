"""What a million input tokens of a model cost: the table in the package, or one of the user's in the same form.

    {"date": "2026-08-05", "source": "https://…", "currency": "USD",
     "models": {"gpt-4o": 2.5, "mine": {"price": 1.2, "currency": "EUR", "date": "2026-10-01", "source": "contract"}}}

What a model does not say, the whole table does. The package's has models of OpenAI, Anthropic, Google, Mistral and
DeepSeek, as https://www.llm-prices.com (Simon Willison) had them on its date; a name that ends in `-272k` or `-200k` is
of prompts longer than that. Only the tokens of OpenAI's are known to be counted by their own tables.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llminspect.core.dataclass import dataclass
from llminspect.errors import UserError, json_fault, reader
from llminspect.files.source import read_text, unique_members

PACKAGED = Path(__file__).parent / "data" / "prices.json"
_TEXTS = ("currency", "date", "source")


@dataclass(frozen=True)
class ListedPrice:
    """The price of a model as a table has it."""

    model: str | None
    """None where only a price was given."""
    price: float
    """Per million input tokens."""
    currency: str = "USD"
    date: str | None = None
    source: str | None = None
    packaged: bool = False
    """Whether it is of the table in the package."""


@reader("the table of prices", UserError)
def price_table(path: Path | None = None) -> dict[str, ListedPrice]:
    """The prices of a file, of the package's unless one is given. Raises UserError for a file that is no such table."""

    def refuse(what: str) -> UserError:
        return UserError(
            f"{str(path)!r:.300} is no table of prices: {what}",
            '{"date": "2026-08-05", "currency": "USD", "models": {"gpt-4o": 2.5}}',
        )

    def repeated() -> Any:
        raise refuse("it names a key twice")

    try:
        table = json.loads(read_text(path or PACKAGED), object_pairs_hook=unique_members(repeated))
    except (ValueError, RecursionError) as error:
        raise refuse(json_fault(error)) from None
    models = table.get("models") if isinstance(table, dict) else None
    if not isinstance(models, dict) or not models:
        raise refuse('no object "models"')
    found = {}
    for name, entry in models.items():
        entry = entry if isinstance(entry, dict) else {"price": entry}
        values = {**{key: value for key, value in table.items() if key != "models"}, **entry}
        price = values.pop("price", None)
        unknown = [key for key in values if key not in _TEXTS]
        if unknown:
            raise refuse(f"{unknown[0]!r:.60} of {name!r:.60} is not one of price, {', '.join(_TEXTS)}")
        if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price < 1e9:
            raise refuse(f"the price of {name!r:.60} is not a number of at least 0")
        if not all(isinstance(value, str) and len(value) <= 200 for value in values.values()):
            raise refuse(f"{', '.join(_TEXTS)} of {name!r:.60} are texts")
        found[name] = ListedPrice(name, float(price), **values, packaged=path is None)
    return found
