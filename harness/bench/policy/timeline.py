"""A fleet of agents on one machine, in time: who makes, reads and frees what, and what each agent says it does.

An agent holds one conversation to its end and then begins the next one. It is ACTIVE from a user's message to the
answer, and IDLE until the next one. At most a part of all agents is at work at once: a turn that comes due beyond that
waits, PAUSED. When a conversation has ended it is closed. Nothing here depends on what is evicted: stalls are short
beside a model's answers.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto

import numpy as np

from harness.bench.policy.objects import NOTHING, History, Objects, Table, Type, Units
from harness.bench.policy.recording import Recording, Request
from harness.errors import UsageError


class State(IntEnum):
    """enum agent_state"""

    ACTIVE = 1
    PAUSED = 2
    IDLE = 3


class Kind(Enum):
    STATE = auto()
    OPEN = auto()  # the agent holds `shared`
    REQUEST = auto()  # the agent makes `own`, which takes a page of `copied`, and reads `read`
    CLOSE = auto()  # the agent holds `shared` no more, and `own` is gone


@dataclass(frozen=True)
class Event:
    time: int  # milliseconds
    kind: Kind
    agent: int
    state: State = State.IDLE
    own: Units = field(default_factory=lambda: NOTHING)
    shared: Units = field(default_factory=lambda: NOTHING)
    copied: Units = field(default_factory=lambda: NOTHING)
    read: Units = field(default_factory=lambda: NOTHING)

    @property
    def needed(self) -> Units:
        return np.concatenate([self.copied, self.read])

    @property
    def all(self) -> Units:
        return np.concatenate([self.own, self.shared, self.needed])


@dataclass(frozen=True)
class Timeline:
    agents: int
    table: Table
    events: tuple[Event, ...]


@dataclass(frozen=True)
class Pace:
    """Recorded times, in their order: seconds until a request was answered, until a user wrote again."""

    answers: tuple[float, ...]
    thinks: tuple[float, ...]

    @staticmethod
    def of(recordings: Sequence[Recording]) -> Pace:
        """UsageError: no conversation has times."""
        requests = [request for recording in recordings for request in recording.requests]
        answers = tuple(request.seconds for request in requests if request.seconds)
        thinks = tuple(request.think for request in requests if request.think)
        if not answers or not thinks:
            raise UsageError(
                "no conversation of the corpus says when its messages came",
                hint="a message's `timestamp` is milliseconds; a few conversations with it are enough",
            )
        return Pace(answers, thinks)

    def clocks(self, source: random.Random) -> tuple[Iterator[float], Iterator[float]]:
        """Both from a random place on: what follows one another has done so in a recording."""
        return _round(self.answers, source), _round(self.thinks, source)


def _round(values: Sequence[float], source: random.Random) -> Iterator[float]:
    place = source.randrange(len(values))
    while True:
        yield values[place]
        place = (place + 1) % len(values)


@dataclass(frozen=True)
class Scale:
    """at_work: the part of the agents that is so at once, at most. arrival: seconds in which the agents come."""

    agents: int = 100
    seconds: float = 3600.0
    at_work: float = 0.15
    arrival: float = 300.0


class Fleet:
    """Plays the agents."""

    def __init__(self, recordings: Sequence[Recording], pace: Pace, scale: Scale, seed: int) -> None:
        self.objects = Objects()
        self.random = random.Random(seed)
        self._recordings, self._pace, self._scale = recordings, pace, scale
        self._deck: list[Recording] = []
        self._future: list[tuple[float, int, Callable[[], None]]] = []
        self._now, self._count, self._at_work = 0.0, 0, 0
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()
        self._events: list[Event] = []

    def play(self) -> Timeline:
        for agent in range(self._scale.agents):
            self.after(self.random.uniform(0, self._scale.arrival), _Life(self, agent).begin)
        while self._future and self._future[0][0] < self._scale.seconds:
            self._now, _, then = heapq.heappop(self._future)
            then()
        return Timeline(self._scale.agents, self.objects.table(), tuple(self._events))

    def clocks(self) -> tuple[Iterator[float], Iterator[float]]:
        return self._pace.clocks(self.random)

    def deal(self) -> Recording:
        """All of them once, in random order, before any comes again."""
        if not self._deck:
            self._deck = list(self._recordings)
            self.random.shuffle(self._deck)
        return self._deck.pop()

    def tell(self, kind: Kind, agent: int, state: State = State.IDLE, **units: Units) -> None:
        self._events.append(Event(round(self._now * 1000), kind, agent, state, **units))

    def after(self, seconds: float, then: Callable[[], None]) -> None:
        self._count += 1  # what comes at the same time comes in this order
        heapq.heappush(self._future, (self._now + seconds, self._count, then))

    def begin_turn(self, agent: int, then: Callable[[], None]) -> None:
        if self._at_work < max(1.0, self._scale.at_work * self._scale.agents):
            self._at_work += 1
            self.tell(Kind.STATE, agent, State.ACTIVE)
            then()
        else:
            self.tell(Kind.STATE, agent, State.PAUSED)
            self._waiting.append((agent, then))

    def end_turn(self, agent: int) -> None:
        self._at_work -= 1
        self.tell(Kind.STATE, agent, State.IDLE)
        if self._waiting:
            self.begin_turn(*self._waiting.popleft())


class _Life:
    """One agent: conversation after conversation."""

    def __init__(self, fleet: Fleet, agent: int) -> None:
        self._fleet, self._agent = fleet, agent
        self._answers, self._thinks = fleet.clocks()

    def begin(self) -> None:
        recording = self._fleet.deal()
        texts = [(Type.SYSTEM_PROMPT, recording.prompt), *((Type.TOOL_DEF, tool) for tool in recording.tools)]
        held = [self._fleet.objects.shared(kind, content) for kind, content in texts if content]
        self._shared = np.unique(np.concatenate([NOTHING, *held]))
        self._history = History(self._fleet.objects, self._agent)
        self._own: list[Units] = []
        self._left = deque(recording.requests)
        self._fleet.tell(Kind.OPEN, self._agent, shared=self._shared)
        self._turn()

    def _turn(self) -> None:
        self._fleet.begin_turn(self._agent, self._request)

    def _request(self) -> None:
        request = self._left.popleft()
        results = [self._fleet.objects.make(Type.TOOL_RESULT, 0, size, self._agent) for size in request.results if size]
        copied = self._history.last_page() if request.appended else NOTHING
        grown = self._history.append(request.appended) if request.appended else NOTHING
        own = np.concatenate([*results, grown])
        read = np.concatenate([self._shared, *results, self._history.from_its_end()])
        self._own.append(own)
        self._fleet.tell(Kind.REQUEST, self._agent, own=own, copied=copied, read=read)
        seconds, think = self._times(request)
        goes_on = self._left and not self._left[0].by_user
        self._fleet.after(seconds, self._request if goes_on else lambda: self._answered(think))

    def _answered(self, think: float) -> None:
        self._fleet.end_turn(self._agent)
        if self._left:
            self._fleet.after(think, self._turn)
        else:
            self._fleet.tell(Kind.CLOSE, self._agent, own=np.concatenate(self._own), shared=self._shared)
            self._fleet.after(think, self.begin)

    def _times(self, request: Request) -> tuple[float, float]:
        """Until the answer, and from then until the user's next message. Of a last answer only the sum is recorded."""
        if request.think:
            answer = min(next(self._answers), request.think / 2)
            return answer, request.think - answer
        return request.seconds or next(self._answers), next(self._thinks)


def play(recordings: Sequence[Recording], pace: Pace, scale: Scale, seed: int) -> Timeline:
    """The same arguments give the same timeline. UsageError: nobody says anything."""
    heard = [recording for recording in recordings if recording.requests]
    if not heard:
        raise UsageError("no conversation of the corpus holds an answer of a model")
    return Fleet(heard, pace, scale, seed).play()
