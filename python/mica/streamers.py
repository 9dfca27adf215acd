"""Streamers: what receives tokens while a generation runs."""

from __future__ import annotations

import asyncio
from queue import Queue
from typing import Any, Optional

from . import _tensors


class BaseStreamer:
    """`put` receives the prompt, then every new token; `end` comes last."""

    def put(self, value: Any) -> None:
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError


def _is_cjk(char: str) -> bool:
    code = ord(char)
    return (
        0x4E00 <= code <= 0x9FFF
        or 0x3400 <= code <= 0x4DBF
        or 0x20000 <= code <= 0x2A6DF
        or 0x2A700 <= code <= 0x2B73F
        or 0x2B740 <= code <= 0x2B81F
        or 0x2B820 <= code <= 0x2CEAF
        or 0xF900 <= code <= 0xFAFF
        or 0x2F800 <= code <= 0x2FA1F
    )


def _decoder_of(tokenizer: Any, decode_kwargs: dict[str, Any]) -> Any:
    """What turns one id after the other into text, False where only whole sequences can be decoded as asked."""
    cleans = decode_kwargs.get("clean_up_tokenization_spaces", getattr(tokenizer, "clean_up_tokenization_spaces", True))
    if not hasattr(tokenizer, "_stream") or set(decode_kwargs) - {"skip_special_tokens", "clean_up_tokenization_spaces"}:
        return False
    if cleans and not tokenizer.is_bpe:
        return False
    return tokenizer._stream(bool(decode_kwargs.get("skip_special_tokens", False)))


class TextStreamer(BaseStreamer):
    """Prints the text as whole words become known."""

    def __init__(self, tokenizer: Any, skip_prompt: bool = False, **decode_kwargs: Any):
        self.tokenizer = tokenizer
        self.skip_prompt = skip_prompt
        self.decode_kwargs = decode_kwargs
        self.token_cache: list[int] = []
        self.print_len = 0
        self.next_tokens_are_prompt = True
        self._text = ""  # of token_cache
        self._decoder: Any = None

    def put(self, value: Any) -> None:
        ids = _tensors.to_list(value)
        if isinstance(ids, list) and ids and isinstance(ids[0], list):
            if len(ids) > 1:
                raise ValueError("TextStreamer takes one sequence, not a batch")
            ids = ids[0]
        elif isinstance(ids, int):
            ids = [ids]
        if isinstance(ids, list) and len(ids) > 1 and not self.next_tokens_are_prompt:
            raise ValueError("TextStreamer takes one sequence, not a batch")
        self.put_ids(ids)

    def put_ids(self, ids: list[int]) -> None:
        """put, for a plain list."""
        skipped = self.skip_prompt and self.next_tokens_are_prompt
        self.next_tokens_are_prompt = False
        if skipped:
            return
        self.token_cache += ids
        text = self._decoded(ids)
        if text.endswith("\n"):
            ready = text[self.print_len :]
            self._restart()
        elif text and _is_cjk(text[-1]):
            ready = text[self.print_len :]
            self.print_len += len(ready)
        else:
            ready = text[self.print_len : text.rfind(" ") + 1]
            self.print_len += len(ready)
        self.on_finalized_text(ready)

    def _decoded(self, ids: list[int]) -> str:
        """The text of all tokens in the cache, of which `ids` are new."""
        if self._decoder is None:
            self._decoder = _decoder_of(self.tokenizer, self.decode_kwargs)
        if self._decoder is False:
            self._text = self.tokenizer.decode(self.token_cache, **self.decode_kwargs)
        else:
            for i in ids:
                self._text += self._decoder.push(i)
        return self._text

    def _restart(self) -> None:
        self.token_cache = []
        self.print_len = 0
        self._text = ""
        if self._decoder:
            self._decoder.flush()

    def end(self) -> None:
        rest = ""
        if self.token_cache:
            text = self._text + self._decoder.flush() if self._decoder else self.tokenizer.decode(self.token_cache, **self.decode_kwargs)
            rest = text[self.print_len :]
        self._restart()
        self.next_tokens_are_prompt = True
        self.on_finalized_text(rest, stream_end=True)

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Receives text that does not change any more. Override it to send text elsewhere."""
        print(text, flush=True, end="" if not stream_end else None)


class TextIteratorStreamer(TextStreamer):
    """An iterator over the text, for a generation that runs in another thread."""

    def __init__(self, tokenizer: Any, skip_prompt: bool = False, timeout: Optional[float] = None, **decode_kwargs: Any):
        super().__init__(tokenizer, skip_prompt, **decode_kwargs)
        self.text_queue: Queue[Optional[str]] = Queue()
        self.stop_signal = None
        self.timeout = timeout

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        self.text_queue.put(text, timeout=self.timeout)
        if stream_end:
            self.text_queue.put(self.stop_signal, timeout=self.timeout)

    def __iter__(self) -> "TextIteratorStreamer":
        return self

    def __next__(self) -> str:
        value = self.text_queue.get(timeout=self.timeout)
        if value is None:
            raise StopIteration
        return value


class AsyncTextIteratorStreamer(TextStreamer):
    """The same for asyncio: `async for text in streamer`."""

    def __init__(self, tokenizer: Any, skip_prompt: bool = False, timeout: Optional[float] = None, **decode_kwargs: Any):
        super().__init__(tokenizer, skip_prompt, **decode_kwargs)
        self.text_queue: asyncio.Queue[Optional[str]] = asyncio.Queue()
        self.stop_signal = None
        self.timeout = timeout
        self.loop = asyncio.get_running_loop()

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        self.loop.call_soon_threadsafe(self.text_queue.put_nowait, text)
        if stream_end:
            self.loop.call_soon_threadsafe(self.text_queue.put_nowait, self.stop_signal)

    def __aiter__(self) -> "AsyncTextIteratorStreamer":
        return self

    async def __anext__(self) -> str:
        value = await asyncio.wait_for(self.text_queue.get(), self.timeout)
        if value is None:
            raise StopAsyncIteration
        return value
