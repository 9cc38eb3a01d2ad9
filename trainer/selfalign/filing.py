"""Where the taxonomy files what the model calls a domain."""

from __future__ import annotations

from trainer.taxonomy.categories import categories, known


def filed(domain: str) -> tuple[str, str, str] | None:
    """Risk area, harm type and specific harm of a domain that is named as a specific harm is, in Japanese or English.

    The names come back in Japanese; None where the taxonomy has no such harm.
    """
    harm = known("specific-harm", domain)
    if harm is None or harm.parent is None or harm.parent.parent is None:
        return None
    return harm.parent.parent.ja, harm.parent.ja, harm.ja


def harm_count() -> int:
    """Specific harms of the taxonomy."""
    return sum(one.level == "specific-harm" for one in categories())
