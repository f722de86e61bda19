"""How the next token is chosen: a sampler chain for each live reply."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import lru_cache

from bot.engine.native import Chain, Dry, Model
from bot.messages import Sampling

# Where a repetition may begin anew: after these, the same words are a refrain, not a loop.
_BREAKERS = ("\n", ":", '"', "*")


class Samplers:
    """Makes chains for one model. Belongs to the thread that decodes."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._dry = lru_cache(maxsize=16)(self._make_dry)

    def chain(self, sampling: Sampling, said: Sequence[int]) -> Chain:
        """A chain that knows what was ``said`` before the reply begins.

        Penalties come first, on all scores; at temperature 0 the best token that is left is taken.
        """
        chain = Chain()
        last = sampling.repeat_last_tokens
        if last and sampling.repeat_penalty != 1.0:
            chain.penalties(self._model, last_tokens=last, repeat=sampling.repeat_penalty)
        if last and sampling.dry_multiplier:
            chain.dry(self._dry(sampling.dry_multiplier, sampling.dry_base, sampling.dry_allowed_tokens, last))
        if sampling.temperature <= 0:
            chain.greedy()
        else:
            chain.top_k(sampling.top_k)
            chain.top_p(sampling.top_p)
            chain.min_p(sampling.min_p)
            chain.temperature(sampling.temperature)
            chain.random(secrets.randbits(32) if sampling.seed is None else sampling.seed)
        chain.accept(said)
        return chain

    def _make_dry(self, multiplier: float, base: float, allowed_tokens: int, last_tokens: int) -> Dry:
        return Dry(
            self._model, multiplier=multiplier, base=base, allowed_tokens=allowed_tokens, last_tokens=last_tokens, breakers=_BREAKERS
        )
