"""The tokens of texts: a text that several calls use at the same time is tokenized once."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from sys import getsizeof
from weakref import WeakValueDictionary

from spanqa_server.qa.tokenizer import LONG_TEXT, TextTokenizer, TokenizedText

# Shorter texts are tokenized in hardly more time than it takes to look them up.
SHORTEST_TEXT = 200
# What an entry takes beside its text and tokens: places in two dictionaries, a weak reference.
ENTRY_BYTES = 400

Tokens = dict[str, TokenizedText]


class Job:
    """Texts that a thread tokenizes, and how many calls wait for them."""

    def __init__(self, texts: list[str], tokenizer: TextTokenizer, threads: Executor) -> None:
        self.texts = texts
        # Not the result of the future, which is part of a cycle and would hold it for a while.
        self.tokens: Tokens = {}
        self.waiting = 0
        self.work = threads.submit(self._run, tokenizer)
        self.done = asyncio.wrap_future(self.work)

    def _run(self, tokenizer: TextTokenizer) -> None:
        self.tokens = {text: tokenizer.encode(text) for text in self.texts}


class TextCache:
    """Tokenizes texts for one model version, and keeps the tokens of those that were used last.

    All that is kept takes at most `capacity` bytes: texts, their tokens, and the words that the
    tokenizer remembers, which get up to half of it. Tokens that some call still uses are found
    even if they are not kept. So only calls that come one after the other, about a text that is
    not kept, tokenize it again.

    `on_lookup` is called for each text of at least `SHORTEST_TEXT` characters, with whether its
    tokens were there, or being made, already.
    """

    def __init__(
        self,
        tokenizer: TextTokenizer,
        threads: Executor,
        capacity: int,
        on_lookup: Callable[[bool], None] = lambda found: None,
    ) -> None:
        self.tokenizer = tokenizer
        self.capacity = capacity
        self._threads = threads
        self._on_lookup = on_lookup
        # All tokens that someone uses or that are kept.
        self._alive: WeakValueDictionary[str, TokenizedText] = WeakValueDictionary()
        # Those that are kept, with their sizes, in the order of their last use.
        self._kept: OrderedDict[TokenizedText, int] = OrderedDict()
        self._kept_bytes = 0
        self._jobs: dict[str, Job] = {}
        tokenizer.limit_words(capacity // 2)

    @property
    def used(self) -> int:
        """The bytes of all that is kept."""
        return self._kept_bytes + self.tokenizer.word_bytes

    async def encode(self, *texts: str) -> list[TokenizedText]:
        """Tokenize texts, in a thread if they are long together."""
        found: Tokens = {}
        jobs: list[Job] = []
        new: list[str] = []
        for text in dict.fromkeys(texts):
            if (tokens := self._recall(text)) is not None:
                found[text] = tokens
            elif text in self._jobs:
                jobs.append(self._jobs[text])
            else:
                new.append(text)
        if sum(map(len, new)) > LONG_TEXT:
            jobs += map(self._begin, in_groups(new))
        else:
            found |= {text: self._keep(text, self.tokenizer.encode(text)) for text in new}
        if jobs:
            found |= await self._wait(list(dict.fromkeys(jobs)))
        return [found[text] for text in texts]

    def _recall(self, text: str) -> TokenizedText | None:
        if len(text) < SHORTEST_TEXT:
            return None
        tokens = self._alive.get(text)
        self._on_lookup(tokens is not None or text in self._jobs)
        if tokens is not None:
            if tokens in self._kept:
                self._kept.move_to_end(tokens)
            else:
                self._keep(text, tokens)
        return tokens

    def _keep(self, text: str, tokens: TokenizedText) -> TokenizedText:
        if len(text) >= SHORTEST_TEXT:
            self._alive[text] = tokens
            size = getsizeof(text) + tokens.nbytes + ENTRY_BYTES
            if size <= self.capacity:
                self._kept[tokens] = size
                self._kept_bytes += size
        while self._kept and self.used > self.capacity:
            self._kept_bytes -= self._kept.popitem(last=False)[1]
        return tokens

    def _begin(self, texts: list[str]) -> Job:
        job = Job(texts, self.tokenizer, self._threads)
        self._jobs |= dict.fromkeys(texts, job)
        job.done.add_done_callback(lambda _: self._end(job))
        return job

    def _end(self, job: Job) -> None:
        self._forget(job)
        for text, tokens in job.tokens.items():
            self._keep(text, tokens)

    def _forget(self, job: Job) -> None:
        for text in job.texts:
            if self._jobs.get(text) is job:
                del self._jobs[text]

    async def _wait(self, jobs: list[Job]) -> Tokens:
        found: Tokens = {}
        for job in jobs:
            job.waiting += 1
        try:
            for job in jobs:
                # A call that gives up must not take the texts from the others.
                await asyncio.shield(job.done)
                found |= job.tokens
        finally:
            for job in jobs:
                job.waiting -= 1
                if not job.waiting and job.work.cancel():  # it had not begun
                    self._forget(job)
        return found


def in_groups(texts: Iterable[str]) -> Iterator[list[str]]:
    """The texts in order, together where they are short: each group is worth a thread's while."""
    group: list[str] = []
    size = 0
    for text in texts:
        group.append(text)
        size += len(text)
        if size > LONG_TEXT:
            yield group
            group, size = [], 0
    if group:
        yield group
