#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every interleaving of a thread in its part of a shared pool (docs/life-cycle.md, "Parts of a shared pool") with one
that calls its cache back, on processors whose stores wait in a buffer (x86-TSO), and mutations that must fail.

The thread does up to OPS operations, allocations and returns; its cache overflows into magazines for the depot, and
is filled from them. The other one, in three programs: allocates and calls back who seems to have something, with
patience for one more look; begins to wait, for two buffers; closes the pool. Checked: every buffer is in one place;
nobody waits while there is one; and a closed pool has given everything back.
"""
import sys

from life_cycle import Fault, explore

OPS, CAPACITY, MAGAZINE, TOTAL, PATIENCE, WAITERS = 6, 2, 2, 4, 1, 2

# Memory: served (odd: in an allocation), top (None: in a return), open (floor and limit), parked (None: not emptied
# since it was told to keep out), lock (who has it), depot, waiting (tasks), closed. The thread: its store buffer,
# program counter, register, operations left, held, limbo (in its hands on the way to or from the depot). The other:
# its counter, looks left, what it got. spare: what the provider has got back.
FIELDS = ("served top open parked lock depot waiting closed buffer pc reg ops held limbo bpc patience got spare").split()


def model(program, mutation):
    def step(frozen):
        s = dict(zip(FIELDS, frozen))

        def new(base=s, **change):
            t = dict(base)
            t.update(change)
            return tuple(t[f] for f in FIELDS)

        def seen(name):
            for field, value in reversed(s["buffer"]):
                if field == name:
                    return value
            return s[name]

        def stored(*stores):
            return s["buffer"] + tuple(stores)

        def flushed(t):
            t = dict(t)
            for field, value in t["buffer"]:
                t[field] = value
            t["buffer"] = ()
            return t

        def let_in(t):
            if not t["open"] and (not t["waiting"] or mutation == "let in while a task waits"):
                if t["parked"] is not None:
                    t["top"] = t["parked"]
                t["open"] = True

        def to_the_pool(t, count, looks=True):
            """`count` buffers that the thread has in hand, under the lock: to whom they belong."""
            for _ in range(count):
                if t["closed"]:
                    t["spare"] += 1
                elif t["waiting"] and looks:
                    t.update(waiting=t["waiting"] - 1, got=t["got"] + 1)
                else:
                    t["depot"] += 1

        if s["buffer"]:
            (field, value), *rest = s["buffer"]
            yield new(**{field: value, "buffer": tuple(rest)})

        pc, held = s["pc"], s["held"]
        idle = dict(pc="idle", reg=None)
        # The long ways: what is done under the lock is one step, since nobody else looks without it.
        locked = flushed(s) if s["lock"] is None else None

        if pc == "idle" and s["ops"]:
            ops = s["ops"] - 1
            if mutation == "look before marking an allocation":
                yield new(ops=ops, pc="a0", reg=seen("open"))
            else:
                yield new(ops=ops, pc="a1", buffer=stored(("served", seen("served") + 1)))
            if held:
                if mutation == "look before marking a return":
                    yield new(ops=ops, pc="r0", reg=seen("open"))
                else:
                    yield new(ops=ops, pc="r1")
        # An allocation: mark, look, take.
        elif pc == "a0":
            yield new(pc="a1m" if s["reg"] else "a1", buffer=stored(("served", seen("served") + 1)))
        elif pc in ("a1", "a1m"):
            top = seen("top")
            if (pc == "a1m" or seen("open")) and top:
                yield new(pc="a2", buffer=stored(("top", top - 1)))
            else:
                yield new(pc="A", buffer=stored(("served", seen("served") - 1)))
        elif pc == "a2":
            yield new(buffer=stored(("served", seen("served") + 1)), held=held + 1, **idle)
        # The long way of an allocation: a magazine, or what there is under the lock.
        elif pc == "A" and locked:
            t = locked
            if t["closed"]:
                yield new(t, **idle)
            elif not t["waiting"] and t["depot"] >= MAGAZINE:
                let_in(t)
                yield new(t, depot=t["depot"] - MAGAZINE, limbo=MAGAZINE, pc="l1")
            else:
                let_in(t)
                if t["open"] and t["top"]:
                    yield new(t, top=t["top"] - 1, held=held + 1, **idle)
                elif not t["open"] and t["parked"] is None:
                    # Told to keep out, not emptied yet: the thread empties its part itself.
                    t.update(depot=t["depot"] + t["top"], parked=0)
                    yield new(t)
                elif t["depot"]:
                    yield new(t, depot=t["depot"] - 1, held=held + 1, **idle)
                else:
                    yield new(t, **idle)
        elif pc == "l1":
            yield new(pc="l2", buffer=stored(("served", seen("served") + 1)))
        elif pc == "l2":
            if (seen("open") or mutation == "fill without a look") and seen("top") == 0:
                yield new(pc="l3", buffer=stored(("top", MAGAZINE - 1)))
            else:
                yield new(pc="L", buffer=stored(("served", seen("served") - 1)))
        elif pc == "l3":
            yield new(buffer=stored(("served", seen("served") - 1)), held=held + 1, limbo=0, **idle)
        elif pc == "L" and locked:
            t = locked
            to_the_pool(t, t["limbo"])
            yield new(t, limbo=0, **idle)
        # A return: mark, look, put.
        elif pc == "r0":
            yield new(pc="r1m" if s["reg"] else "r1", reg=None)
        elif pc in ("r1", "r1m"):
            yield new(pc="r2" + pc[2:], reg=seen("top"))
        elif pc in ("r2", "r2m"):
            yield new(pc="r3" + pc[2:], buffer=stored(("top", None)))
        elif pc in ("r3", "r3m"):
            if not (pc == "r3m" or seen("open")):
                yield new(pc="R", buffer=stored(("top", s["reg"])))
            elif s["reg"] < CAPACITY:
                yield new(buffer=stored(("top", s["reg"] + 1)), held=held - 1, **idle)
            else:
                # Full: into a magazine, within the mark; the buffer onto what is left.
                yield new(pc="U", buffer=stored(("top", s["reg"] - MAGAZINE + 1)), held=held - 1, limbo=MAGAZINE)
        elif pc == "U" and mutation == "look for who waits before the lock":
            yield new(pc="Uw" if s["waiting"] or s["closed"] else "Un")
        elif pc in ("U", "Uw", "Un") and locked:
            t = locked
            to_the_pool(t, t["limbo"], looks=pc != "Un")
            yield new(t, limbo=0, **idle)
        elif pc == "R" and locked:
            t = locked
            if not t["closed"] and not t["waiting"]:
                let_in(t)
                if t["top"] == CAPACITY:
                    t.update(top=0, depot=t["depot"] + CAPACITY)
                yield new(t, top=t["top"] + 1, held=held - 1, **idle)
            else:
                to_the_pool(t, 1)
                yield new(t, held=held - 1, **idle)

        b = s["bpc"]
        everybody = program != "allocate"
        if b == 0:
            if mutation == "wait after calling back" or program == "allocate":
                yield new(bpc=1)
            elif program == "wait":
                yield new(bpc=1, waiting=WAITERS)
            elif s["lock"] is None:
                yield new(bpc=1, closed=True)
        elif b == 1 and s["lock"] is None:
            if s["depot"] and not everybody:
                yield new(depot=s["depot"] - 1, got=s["got"] + 1, bpc=9)
            elif s["open"] and (everybody or s["top"] != 0):
                yield new(lock="B", bpc=2, open=False, parked=None)
            else:
                yield new(lock="B", bpc=3)
        elif b == 2:
            yield new(base=dict(s) if mutation == "no barrier" else flushed(s), bpc=3)
        elif b == 3:
            # Emptied already, or to be emptied: inside means that the thread is between two marks.
            if s["open"] or s["parked"] is not None:
                yield new(bpc=5)
            elif s["served"] % 2 == 1 or s["top"] is None:
                if mutation == "empty it between two marks":
                    yield new(bpc=4)
                elif everybody:
                    yield new(lock=None, bpc=1)
                elif s["patience"]:
                    yield new(lock=None, bpc=1, patience=s["patience"] - 1)
                else:
                    yield new(bpc=5)
            else:
                yield new(bpc=4)
        elif b == 4:
            # The thread may have begun something since, which will find out that it is kept out.
            if s["top"] is None and mutation != "empty it between two marks":
                yield new(bpc=3)
            else:
                yield new(bpc=5, depot=s["depot"] + (s["top"] or 0), parked=0)
        elif b == 5:
            if program == "close":
                yield new(lock=None, bpc=9, spare=s["spare"] + s["depot"], depot=0)
            elif program == "wait":
                # Those who have been given a buffer meanwhile want no second one.
                taken = min(s["depot"], s["waiting"])
                yield new(lock=None, bpc=6 if mutation == "wait after calling back" else 9,
                          depot=s["depot"] - taken, got=s["got"] + taken, waiting=s["waiting"] - taken)
            elif s["depot"]:
                yield new(lock=None, bpc=9, depot=s["depot"] - 1, got=s["got"] + 1)
            else:
                yield new(lock=None, bpc=9)
        elif b == 6:
            yield new(bpc=9, waiting=WAITERS)

    def check(frozen):
        s = dict(zip(FIELDS, frozen))
        cached = s["top"] if s["open"] or s["parked"] is None else 0
        there = cached + s["depot"] + s["limbo"] + s["held"] + s["got"] + s["spare"]
        if there != TOTAL:
            raise Fault(f"{there} buffers of {TOTAL}")
        if s["waiting"] and cached + s["depot"]:
            raise Fault("a task waits beside a buffer")
        if program == "close" and cached + s["depot"]:
            raise Fault("a closed pool keeps a buffer")

    first = dict(served=0, top=1, open=True, parked=None, lock=None, depot=0 if program != "close" else 2,
                 waiting=0, closed=False, buffer=(), pc="idle", reg=None, ops=OPS, held=0, limbo=0, bpc=0,
                 patience=PATIENCE, got=0, spare=0)
    first["held"] = TOTAL - first["top"] - first["depot"]
    return explore(tuple(first[f] for f in FIELDS), step, check)


def main():
    wrong = 0
    common = ("no barrier", "look before marking an allocation", "look before marking a return",
              "empty it between two marks")
    for name, program, mutations in (
        ("an allocation calls a cache back", "allocate", common),
        ("a task begins to wait", "wait", common + (
            "let in while a task waits", "look for who waits before the lock", "wait after calling back")),
        ("the pool is closed", "close", common + ("fill without a look",)),
    ):
        states, fault = model(program, None)
        print(f"{name}: {states} states, {fault or 'no fault'}")
        wrong += fault is not None
        for mutation in mutations:
            states, fault = model(program, mutation)
            print(f"  mutated, {mutation}: {fault or 'NO FAULT FOUND'}")
            wrong += fault is None
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
