"""vLLM as the engine: one engine for the whole sweep, on one device or split over several; weights swapped in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.engine import TOO_LONG, Answer, Likelihood, Request, Sampling, Swap, Weights, template_of
from eval.engines.texts import chat_tokens, plain_tokens
from eval.engines.vllm_start import started
from mergescope.ground.errors import CheckpointError

if TYPE_CHECKING:
    import torch

    from eval.engines.vllm_worker import Outcome


class VllmEngine:
    """Answers through vLLM's own scheduler; near ties may fall otherwise than in another batch or another run."""

    def __init__(
        self,
        folder: Path,
        dtype: str,
        max_model_len: int | None,
        tensor_parallel: int = 1,
        *,
        may_run_code: bool = False,
    ) -> None:
        """Start the engine on `folder`: in this process, or in one for each of `tensor_parallel` devices.

        may_run_code: whether code in the folder may run. Raises CheckpointError where there is no chat template,
        MergescopeError where the extra `vllm` is not installed, or vLLM refuses the model, the number of devices or
        their memory.
        """
        template_of(folder)  # before minutes of starting
        self._folder = folder
        self._may_run_code = may_run_code
        self._llm: Any = started(folder, dtype, max_model_len, tensor_parallel, may_run_code=may_run_code)
        self._tokenizer: Any = self._llm.get_tokenizer()
        self._context = int(self._llm.llm_engine.model_config.max_model_len)

    @property
    def places(self) -> Mapping[str, torch.Tensor]:
        """None: vLLM keeps weights in forms of its own."""
        return {}

    def load(self, weights: Weights) -> Swap:
        """Have each worker stream all weights in, and read a part of them back from every layer that can be asked.

        Raises CheckpointError where a name is unknown, a shape differs, a tensor is left unswapped, a layer computes
        with other values afterwards, or two workers were given different weights. Tied tensors may come under one name
        or both; a mixture's experts one by one or together.
        """
        outcomes: list[Outcome] = self._llm.collective_rpc("swap_in", args=(weights, self._folder, self._may_run_code))
        self._llm.reset_prefix_cache()
        for outcome in outcomes:
            if outcome.refusal is not None:
                raise outcome.refusal
        swaps = {outcome.swap for outcome in outcomes}
        swap = swaps.pop()
        if swaps or swap is None:
            raise CheckpointError("the engine's workers were given different weights", where=self._folder)
        return swap

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[tuple[int, Answer]]:
        """As vLLM's scheduler ends them, all of them at its hand at once, so that it never runs dry.

        Raises CheckpointError where the chat template refuses a prompt.
        """
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        encoded = [chat_tokens(self._tokenizer, request.messages, self._folder) for request in requests]
        longest = self._context - sampling.max_tokens
        yield from ((i, TOO_LONG) for i, ids in enumerate(encoded) if len(ids) > longest)
        asked = {
            i: SamplingParams(
                temperature=sampling.temperature,
                max_tokens=sampling.max_tokens,
                seed=requests[i].seed,
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
            for i, ids in enumerate(encoded)
            if len(ids) <= longest
        }
        for i, output in self._streamed({i: encoded[i] for i in asked}, asked):
            yield i, _answer(output)

    def log_likelihoods(self, texts: Sequence[str]) -> list[Likelihood]:
        """In the order of the texts, from vLLM's own log-probabilities of a prompt's tokens."""
        from vllm import SamplingParams

        encoded = [plain_tokens(self._tokenizer, text) for text in texts]
        # vLLM insists on a token of its own behind the text
        found = [Likelihood(0.0, 0, "too_short" if len(ids) < 2 else "too_long") for ids in encoded]
        asked = [i for i, ids in enumerate(encoded) if 2 <= len(ids) < self._context]
        setting = SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=0, detokenize=False)
        outputs = self._asked([encoded[i] for i in asked], [setting] * len(asked))
        for i, output in zip(asked, outputs, strict=True):
            pairs = list(zip(encoded[i], output.prompt_logprobs, strict=True))[1:]
            found[i] = Likelihood(sum(chances[token].logprob for token, chances in pairs), len(pairs))
        return found

    def close(self) -> None:
        """Shut the engine down, and its workers with it."""
        self._llm.llm_engine.engine_core.shutdown()
        del self._llm

    def _streamed(self, encoded: Mapping[int, list[int]], settings: Mapping[int, Any]) -> Iterator[tuple[int, Any]]:
        """Each prompt's completion when it is there; those that nobody waits for any more are called off."""
        engine = self._llm.llm_engine
        open_ids = [engine.add_request(str(i), {"prompt_token_ids": ids}, settings[i]) for i, ids in encoded.items()]
        try:
            while engine.has_unfinished_requests():
                for output in engine.step():
                    if output.finished:
                        yield int(output.request_id), output.outputs[0]
        finally:
            if engine.has_unfinished_requests():
                engine.abort_request(open_ids, internal=True)

    def _asked(self, encoded: Sequence[list[int]], settings: Sequence[Any]) -> list[Any]:
        prompts = [{"prompt_token_ids": ids} for ids in encoded]
        outputs: list[Any] = self._llm.generate(prompts, settings, use_tqdm=False) if prompts else []
        return outputs


def _answer(output: Any) -> Answer:
    """A completion as an answer; one that ended otherwise than by the model or at max_tokens is none."""
    if output.finish_reason not in ("stop", "length"):
        return Answer("", "stop", len(output.token_ids), "engine")
    return Answer(output.text, output.finish_reason, len(output.token_ids))
