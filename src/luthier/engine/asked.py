"""One answer while another process makes it, on this side: its tokens, its text, its end."""

import math
import time

from luthier.engine.ports import Answer, Finish, Sampling
from luthier.engine.speaker import Speaker
from luthier.engine.supervised import Step
from luthier.model.template import Template


class Asked:
    """One prompt that was checked, and what was said to it so far."""

    def __init__(self, template: Template, prompt_ids: tuple[int, ...], sampling: Sampling) -> None:
        self.prompt_ids = prompt_ids
        self.ids: list[int] = []
        self.finish: Finish | None = None
        self._stop_ids = template.stop_ids
        self._speaker = Speaker(template.decode, sampling.stop)
        self._spoken = 0
        self._min_tokens = sampling.min_tokens
        self._most_seconds = math.inf if sampling.max_seconds is None else sampling.max_seconds
        self._begun = math.inf

    def begin(self) -> None:
        """Count its time from now on."""
        self._begun = time.monotonic()

    def take(self, step: Step, *, speaks: bool) -> str:
        """Take what the engine adds. Gives the text that became certain; sets `finish` at the end."""
        fresh = ""
        for token_id in step.ids:
            if not self.finish:  # what comes behind a stop string is not said
                self.ids.append(token_id)
                fresh += self._speak() if speaks else ""
        if not self.finish:
            self.finish = step.finish or ("length" if time.monotonic() - self._begun >= self._most_seconds else None)
        if self.finish:
            fresh += self._speak() + self._speaker.finish()
            if self._speaker.stopped:
                self.finish = "stop"
        return fresh

    def _speak(self) -> str:
        ids = [token_id for token_id in self.ids[self._spoken :] if token_id not in self._stop_ids]
        self._spoken = len(self.ids)
        fresh = self._speaker.hear(*ids, heeds_stop=len(self.ids) >= self._min_tokens) if ids else ""
        if self._speaker.stopped:
            self.finish = "stop"
        return fresh

    def answer(self) -> Answer:
        """Give the answer as far as it has come."""
        return Answer(self._speaker.text, tuple(self.ids), self.prompt_ids, self.finish or "length")
