"""From token ids to text while they are being said: whole characters only, and never the beginning of a stop string."""

from collections.abc import Callable, Sequence

INCOMPLETE = "\ufffd"
"""What decoders write for bytes that are no whole character (yet)."""


class Speaker:
    """Turns one answer's tokens into text.

    `decode` gives the text of ids. A token may depend on those before it (spaces, bytes of one character), so each is
    decoded together with the last tokens that were spoken, and the difference is what is new.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: Sequence[str] = ()) -> None:
        self.text = ""
        """What has been said: it is final."""
        self.stopped = False
        """Whether a stop string came; nothing is said after it."""
        self._decode = decode
        self._stop = tuple(stop)
        self._spoken: list[int] = []
        self._spoken_text = ""
        self._waiting: list[int] = []
        self._held = ""

    def hear(self, *token_ids: int, heeds_stop: bool = True) -> str:
        """Take the next tokens. Gives the text that is certain by now, often ''; a stop string not heeded is text."""
        self._waiting.extend(token_ids)
        fresh = self._release()
        if heeds_stop:
            return self._say(fresh, is_last=False)
        self.text += fresh
        return fresh

    def finish(self) -> str:
        """Give the rest: what waited for the end of a character, or for the rest of a stop string."""
        return self._say(self._release(is_last=True), is_last=True)

    def _release(self, *, is_last: bool = False) -> str:
        whole = self._decode(self._spoken + self._waiting)
        if (whole.endswith(INCOMPLETE) and not is_last) or not self._waiting:
            return ""
        fresh = whole[len(self._spoken_text) :]
        if not fresh and not is_last:  # a special token, or bytes which only what follows makes a character
            return ""
        self._spoken, self._waiting = self._waiting, []
        self._spoken_text = self._decode(self._spoken)
        return fresh

    def _say(self, fresh: str, *, is_last: bool) -> str:
        if self.stopped:
            return ""
        self._held += fresh
        found = [place for place in (self._held.find(stop) for stop in self._stop) if place >= 0]
        if found:
            self.stopped = True
            certain, self._held = self._held[: min(found)], ""
        else:
            cut = len(self._held) - (0 if is_last else self._promise())
            certain, self._held = self._held[:cut], self._held[cut:]
        self.text += certain
        return certain

    def _promise(self) -> int:
        """Give the length of the longest end of the held text with which a stop string begins."""
        longest = min(len(self._held), max((len(stop) for stop in self._stop), default=1) - 1)
        ends = (length for length in range(longest, 0, -1))
        return next((length for length in ends if any(s.startswith(self._held[-length:]) for s in self._stop)), 0)
