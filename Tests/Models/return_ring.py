#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every interleaving of Sources/DevmemPagePool/Returns/ReturnRing.swift: producers that reserve by
compare-and-swap on the tail and then fill, one consumer that takes in order and, behind a slot that is not filled
yet, out of order; over a ring of two slots, across laps, until it is closed and drained. And mutations of it that
must fail.

Memory comes in two kinds. "x86": plain stores go through a buffer and reach memory later, in their order, and a
locked operation empties it. "weak": they reach memory in any order, but that a releasing store waits for all before
it, and a locked operation empties nothing. Loads see their own thread's buffer first.

Checked: no buffer is lost, none comes out twice, none before it was filled (what its producer wrote into it before
must be there); no slot is filled that was not read; the owner's count of what is in the ring is never below 0, and 0
at the end; nothing comes in past a flag; and the drain after the close ends.
"""
import sys
from collections import deque, namedtuple

K = 1
SIZE = 1 << K
MASK = SIZE - 1
EMPTY = (1, "nothing", 0)

Memory = namedtuple("Memory", "tail attention closed limit head slots beyond written got away producers consumer")
Producer = namedtuple("Producer", "pc group seen offset attended buffer")
Consumer = namedtuple("Consumer", "pc op head seen_tail beyond start at end taken quiet progress buffer")
Group = namedtuple("Group", "kind buffers")


class Fault(Exception):
    pass


def one(*buffers):
    """Buffers that are pushed one by one into slots of their own, with one reservation."""
    return Group("one", buffers)


def whole(*buffers):
    """A batch, which takes one slot."""
    return Group("batch", buffers)


def bits(buffers):
    return sum(1 << b for b in buffers)


class Ring:
    def __init__(self, producers, ops, memory, mutation=None, data=False):
        self.producers, self.ops, self.weak, self.mutation = producers, ops, memory == "weak", mutation
        self.data = data
        self.all = sum(bits(g.buffers) for p in producers for g in p)

    def parity(self, position):
        return 0 if self.mutation == "no parity" else (position >> K) & 1

    # --- stores and loads

    def flushes(self, buffer):
        """Which of the buffer's stores may reach memory next."""
        if not self.weak:
            return range(min(1, len(buffer)))
        return [i for i, (place, _, releasing) in enumerate(buffer)
                if not (releasing and i) and all(buffer[j][0] != place for j in range(i))]

    @staticmethod
    def written_to(m, place, value):
        if place[0] == "slot":
            slots = list(m.slots)
            old = slots[place[1]]
            if value[1] != "taken" and old[1] in ("one", "batch") and old[2] & ~m.got:
                raise Fault("a slot was filled that had not been read")
            slots[place[1]] = value
            return m._replace(slots=tuple(slots))
        if place[0] == "data":
            return m._replace(written=m.written | value)
        return m._replace(**{place[0]: value})

    def flushed(self, m, buffer):
        """A locked operation: what the buffer is afterwards."""
        if self.weak:
            return m, buffer
        for place, value, _ in buffer:
            m = self.written_to(m, place, value)
        return m, ()

    @staticmethod
    def load(m, buffer, place):
        for its, value, _ in reversed(buffer):
            if its == place:
                return value
        return m.slots[place[1]] if place[0] == "slot" else getattr(m, place[0])

    # --- a producer

    def produce(self, m, i):
        p = m.producers[i]

        def new(m, **change):
            all = list(m.producers)
            all[i] = p._replace(**change)
            return m._replace(producers=tuple(all))

        for n in self.flushes(p.buffer):
            place, value, _ = p.buffer[n]
            rest = p.buffer[:n] + p.buffer[n + 1:]
            yield new(self.written_to(m, place, value), buffer=rest)

        groups = self.producers[i]
        if p.pc == "done":
            return
        group = groups[p.group]
        count = len(group.buffers) if group.kind == "one" else 1
        following = dict(pc="load" if p.group + 1 < len(groups) else "done", group=p.group + 1, attended=False,
                         seen=None, offset=0)

        def gone(m):
            """To the overflow, or to the provider."""
            return new(m._replace(away=m.away | bits(group.buffers)), **following)

        def entry(offset):
            if group.kind == "batch":
                return "batch", bits(group.buffers)
            return "one", 1 << group.buffers[offset]

        def filled(position, offset):
            kind, content = entry(offset)
            releasing = self.mutation != "fill without release"
            return ("slot", position & MASK), (self.parity(position), kind, content), releasing

        if p.pc == "load":
            buffer = p.buffer
            if self.data:
                buffer += ((("data",), bits(group.buffers), False),)
            yield new(m, pc="room", seen=(m.tail, m.attention, m.closed), buffer=buffer)
        elif p.pc == "room":
            position, attention, closed = p.seen
            if closed:
                yield gone(m)
            elif attention and not p.attended:
                # Attended: counted, looked at, and then put in all the same.
                yield new(m, pc="load", attended=True, seen=None)
            elif position + count <= self.load(m, p.buffer, ("limit",)):
                yield new(m, pc="reserve")
            else:
                yield new(m, pc="look")
        elif p.pc == "look":
            limit = m.head + SIZE
            if self.mutation == "the limit is ahead of the head":
                limit += 1
            buffer = p.buffer + ((("limit",), limit, True),)
            if p.seen[0] + count <= limit:
                yield new(m, pc="reserve", buffer=buffer)
            else:
                m = m._replace(away=m.away | bits(group.buffers))
                yield new(m, buffer=buffer, **following)
        elif p.pc == "reserve":
            m, buffer = self.flushed(m, p.buffer)
            now = (m.tail, m.attention, m.closed)
            same = now[0] == p.seen[0] if self.mutation == "flags beside the tail" else now == p.seen
            if not same:
                yield new(m, pc="room", seen=now, buffer=buffer)
                return
            if m.closed:
                raise Fault("something came in after the close")
            if m.attention and not p.attended:
                raise Fault("a return was not attended")
            if self.mutation == "fill before the reservation" and p.offset < count:
                # The slots are filled where the tail was seen to be.
                buffer += (filled(p.seen[0] + p.offset, p.offset),)
                yield new(m, offset=p.offset + 1, buffer=buffer)
                return
            m = m._replace(tail=m.tail + count)
            if self.mutation == "fill before the reservation":
                yield new(m, buffer=buffer, **following)
            elif group.kind == "batch":
                yield new(m, pc="count", buffer=buffer)
            else:
                yield new(m, pc="fill", offset=0, buffer=buffer)
        elif p.pc == "count":
            if self.mutation == "a batch is counted after it was filled":
                yield new(m, pc="fill", offset=0)
                return
            m, buffer = self.flushed(m, p.buffer)
            m = m._replace(beyond=m.beyond + len(group.buffers) - 1)
            yield new(m, pc="fill", offset=0, buffer=buffer)
        elif p.pc == "fill":
            buffer = p.buffer + (filled(p.seen[0] + p.offset, p.offset),)
            if p.offset + 1 < count:
                yield new(m, offset=p.offset + 1, buffer=buffer)
            elif group.kind == "batch" and self.mutation == "a batch is counted after it was filled":
                yield new(m, pc="count late", buffer=buffer)
            else:
                yield new(m, buffer=buffer, **following)
        elif p.pc == "count late":
            m, buffer = self.flushed(m, p.buffer)
            m = m._replace(beyond=m.beyond + len(group.buffers) - 1)
            yield new(m, buffer=buffer, **following)

    # --- the consumer

    def consume(self, m):
        c = m.consumer

        def new(m, **change):
            return m._replace(consumer=c._replace(**change))

        for n in self.flushes(c.buffer):
            place, value, _ = c.buffer[n]
            rest = c.buffer[:n] + c.buffer[n + 1:]
            yield new(self.written_to(m, place, value), buffer=rest)

        # A store buffer has a few places: who has filled them waits.
        if c.pc == "done" or len(c.buffer) >= 4:
            return
        draining = c.op >= len(self.ops)
        # The drain: what came one by one, then a batch, and again.
        first, second = len(self.ops), len(self.ops) + 1
        kind, limit = (("take", 2) if c.op == first else ("batch", 9)) if draining else self.ops[c.op]
        next_op = first if c.op == second else c.op + 1
        ended = dict(pc="begin", op=next_op, start=0, at=0, end=0, taken=0)

        def got(m, content):
            if content & m.got:
                raise Fault("a buffer came out twice")
            if self.data and content & ~m.written:
                raise Fault("a buffer came out before what its producer wrote into it")
            return m._replace(got=m.got | content)

        def head_stored(buffer, head):
            return buffer + ((("head",), head, self.mutation != "head without release"),)

        def tombstone(position):
            parity = self.parity(position)
            if self.mutation == "tombstone with the wrong parity":
                parity ^= 1
            return (("slot", position & MASK), (parity, "taken", 0), False)

        def slot(position):
            return self.load(m, c.buffer, ("slot", position & MASK))

        if c.pc == "begin":
            # Between two operations the owner's count is exact.
            count = m.tail + m.beyond - c.head - c.beyond
            if count < 0:
                raise Fault(f"{count} buffers in the ring")
            if c.op == first:
                if not m.closed:
                    m2, buffer = self.flushed(m, c.buffer)
                    yield new(m2._replace(closed=True), buffer=buffer)
                    return
                if m.tail == c.head:
                    yield new(m, pc="done")
                    return
                if c.quiet and not c.progress:
                    raise Fault("the drain never ends")
                quiet = not c.buffer and all(p.pc == "done" and not p.buffer for p in m.producers)
                c = c._replace(quiet=quiet, progress=False)
            if kind == "attention":
                m2, buffer = self.flushed(m, c.buffer)
                yield new(m2._replace(attention=limit), buffer=buffer, op=next_op)
                return
            wanted = limit if kind == "take" else 1
            seen = c.seen_tail
            if seen - c.head < wanted:
                seen = m.tail
            end = min(seen, c.head + wanted)
            if end <= c.head:
                yield new(m, op=next_op, seen_tail=seen)
            elif self.mutation == "head before the slots are read" and kind == "take":
                yield new(m, pc="take", seen_tail=seen, start=c.head, at=c.head, end=end, taken=0,
                          buffer=head_stored(c.buffer, end))
            else:
                yield new(m, pc=kind, seen_tail=seen, start=c.head, at=c.head, end=end, taken=0)
        elif c.pc == "take":
            if c.at < c.end:
                parity, its, content = slot(c.at)
                if parity == self.parity(c.at) and its == "one":
                    yield new(got(m, content), at=c.at + 1, progress=True)
                    return
            if c.at > c.start:
                yield new(m, head=c.at, buffer=head_stored(c.buffer, c.at), **ended)
            elif slot(c.start)[:2] == (self.parity(c.start), "batch"):
                yield new(m, **ended)
            else:
                # The head is stored here as well, but as it was.
                yield new(m, pc="skip", seen_tail=m.tail, end=m.tail)
        elif c.pc in ("skip", "skip again"):
            after = dict(pc="behind") if c.pc == "skip" else ended
            if c.at < c.end and self.mutation != "what was taken out of turn is not skipped":
                parity, its, _ = slot(c.at)
                of_lap = parity == self.parity(c.at) or self.mutation == "skip whatever the parity"
                if of_lap and its == "taken":
                    yield new(m, at=c.at + 1)
                    return
            count = c.at - c.head
            if count:
                change = dict(head=c.at, beyond=c.beyond - count, buffer=head_stored(c.buffer, c.at), progress=True)
            else:
                change = {}
            if c.pc == "skip":
                change["start"] = c.at
            yield new(m, **{**change, **after})
        elif c.pc == "behind":
            if c.at < c.end and c.taken < limit:
                parity, its, content = slot(c.at)
                if parity == self.parity(c.at) and its == "one":
                    buffer = c.buffer
                    if self.mutation != "taken out of turn without a tombstone":
                        buffer += (tombstone(c.at),)
                    yield new(got(m, content), at=c.at + 1, taken=c.taken + 1, progress=True, buffer=buffer)
                else:
                    yield new(m, at=c.at + 1)
            else:
                yield new(m, pc="skip again", at=c.start, beyond=c.beyond + c.taken)
        elif c.pc == "batch":
            parity, its, content = slot(c.start)
            count = bin(content).count("1")
            if parity == self.parity(c.start) and its == "batch" and count <= limit:
                yield new(got(m, content), head=c.start + 1, beyond=c.beyond + count - 1, progress=True,
                          buffer=head_stored(c.buffer, c.start + 1), **ended)
            else:
                yield new(m, pc="filled?")
        elif c.pc == "filled?":
            parity, _, _ = slot(c.start)
            if parity == self.parity(c.start):
                yield new(m, **ended)
            else:
                yield new(m, pc="batch behind", at=c.start, seen_tail=m.tail, end=m.tail)
        elif c.pc == "batch behind":
            if c.at >= c.end:
                yield new(m, **ended)
                return
            parity, its, content = slot(c.at)
            count = bin(content).count("1")
            if parity == self.parity(c.at) and its == "batch" and count <= limit:
                buffer = c.buffer
                if self.mutation != "taken out of turn without a tombstone":
                    buffer += (tombstone(c.at),)
                yield new(got(m, content), beyond=c.beyond + count, progress=True, buffer=buffer, **ended)
            else:
                yield new(m, at=c.at + 1)

    # --- all of it

    def explore(self):
        """Visits every state. Returns how many there are, and the first fault or None."""
        producer = Producer("load", 0, None, 0, False, ())
        consumer = Consumer("begin", 0, 0, 0, 0, 0, 0, 0, 0, False, False, ())
        start = Memory(0, False, False, SIZE, 0, (EMPTY,) * SIZE, 0, 0, 0, 0,
                       tuple(producer if p else producer._replace(pc="done") for p in self.producers), consumer)
        seen, todo = {start}, deque([start])
        while todo:
            m = todo.pop()
            try:
                following = list(self.consume(m))
                for i in range(len(self.producers)):
                    following += self.produce(m, i)
                if not following:
                    self.check(m)
            except Fault as fault:
                return len(seen), str(fault)
            for new in following:
                if new not in seen:
                    seen.add(new)
                    todo.append(new)
        return len(seen), None

    def check(self, m):
        if m.consumer.pc != "done" or any(p.pc != "done" for p in m.producers):
            raise Fault("nobody can go on")
        if m.got & m.away or m.got | m.away != self.all:
            raise Fault(f"lost: {bin(self.all & ~(m.got | m.away)).count('1')}, in two places:"
                        f" {bin(m.got & m.away).count('1')}")
        if m.tail + m.beyond != m.consumer.head + m.consumer.beyond:
            raise Fault("the count is not 0 at the end")


TAKE, BATCH = ("take", 2), ("batch", 2)
RINGS = {
    "one producer, three laps": ([[one(0), one(1), one(2), one(3), one(4)]], [TAKE, TAKE, TAKE]),
    "two at once, and one by one": ([[one(0, 1)], [one(2), one(3)]], [TAKE]),
    "three producers": ([[one(0)], [one(1)], [one(2)]], [TAKE]),
    "batches and single ones": ([[whole(0, 1), one(2)], [whole(3, 4)]], [TAKE, BATCH]),
    "attention": ([[one(0)], [whole(1, 2)]], [("attention", True), TAKE, ("attention", False)]),
    "two producers, two laps": ([[one(0), one(1), one(2)], [one(3)]], [TAKE, TAKE]),
}
WEAK_RINGS = {
    "a batch, weakly ordered": ([[whole(0, 1)], [one(2)]], [TAKE]),
    "two producers, weakly ordered": ([[one(0), one(1)], [one(2)]], [TAKE]),
}
# Each with the ring in which it shows soonest.
MUTATIONS = {
    "no parity": "one producer, three laps",
    "fill before the reservation": "three producers",
    "taken out of turn without a tombstone": "two at once, and one by one",
    "tombstone with the wrong parity": "two at once, and one by one",
    "the limit is ahead of the head": "one producer, three laps",
    "what was taken out of turn is not skipped": "two at once, and one by one",
    "skip whatever the parity": "two producers, two laps",
    "head before the slots are read": "one producer, three laps",
    "a batch is counted after it was filled": "batches and single ones",
    "flags beside the tail": "attention",
    "head without release": "two producers, weakly ordered",
    "fill without release": "a batch, weakly ordered",
}


def main():
    wrong = 0
    for rings, memory in ((RINGS, "x86"), (WEAK_RINGS, "weak")):
        for name, (producers, ops) in rings.items():
            states, fault = Ring(producers, ops, memory, data=memory == "weak").explore()
            print(f"{name}: {states} states, {fault or 'no fault'}", flush=True)
            wrong += fault is not None
        for mutation, name in MUTATIONS.items():
            if name in rings:
                producers, ops = rings[name]
                states, fault = Ring(producers, ops, memory, mutation, data=memory == "weak").explore()
                print(f"  mutated, {mutation}: {fault or 'NO FAULT FOUND'}", flush=True)
                wrong += fault is None
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
