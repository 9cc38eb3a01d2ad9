"""A judge that asks the tests' server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eval.chat.budget import Budget
from eval.config import OpenAIJudge
from eval.judge import open_judge
from eval.judges.openai import OpenAIScorer
from tests.eval.served import Server


def served_judge(server: Server, folder: Path, budget: Budget | None = None, **changes: Any) -> OpenAIScorer:
    """The judge of a recipe's section; its key stands in the environment as JUDGE_KEY. folder: for its journal."""
    settings = {"kind": "openai", "model": "m", "base_url": server.base_url, "api_key_env": "JUDGE_KEY", **changes}
    made = open_judge(OpenAIJudge.model_validate(settings), folder / "journal", budget)
    assert isinstance(made, OpenAIScorer)
    return made
