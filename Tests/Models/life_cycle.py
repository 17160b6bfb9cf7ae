#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every interleaving of docs/life-cycle.md, on processors whose stores wait in a buffer (x86-TSO), and mutations
of it that must fail.

Part 1, keeping the owner out: an owner does up to OPS operations, allocation, return or a longer section begun
from nowhere, while another thread closes the pool. Its plain stores go through a buffer that is written to memory
one by one at any later time; its loads see its own buffer first; the closer's barrier empties it. Checked at the end of each run: the
pool was drained once, and every buffer is in one place.

Part 2, what keeps the pool: the last returns, attended and not, against closing. Checked: the pool ends once, and
nobody touches it after that.
"""
import sys

OPS, CAPACITY, TOTAL = 4, 2, 4


class Fault(Exception):
    pass


def explore(start, step, check):
    """Visits every state. Returns (states, the first fault or None)."""
    seen, todo = {start}, [start]
    while todo:
        state = todo.pop()
        try:
            following = list(step(state))
            if not following:
                check(state)
        except Fault as fault:
            return len(seen), str(fault)
        for new in following:
            if new not in seen:
                seen.add(new)
                todo.append(new)
    return len(seen), None


# --- Part 1 -------------------------------------------------------------------------------------------

# Memory: served (parity), top (None while inside a return), section (1 busy, 2 closing), owner (True: the owner's), limit (True:
# open). The rest: owner's program counter, its register, operations left, held; closer's counter and register;
# where the other buffers are: provider, queue; drained: how often.
FIELDS = ("served top section owner limit buffer pc reg ops held cpc creg provider queue shut drained").split()


def keep_out(mutation):
    def step(frozen):
        s = dict(zip(FIELDS, frozen))

        def new(**change):
            t = dict(s)
            t.update(change)
            return tuple(t[f] for f in FIELDS)

        def seen(name):  # a load by the owner: its own buffer first, youngest store first
            for field, value in reversed(s["buffer"]):
                if field == name:
                    return value
            return s[name]

        def stored(*stores):  # plain stores by the owner
            return s["buffer"] + tuple(stores)

        def flushed(t):
            t = dict(t)
            for field, value in t["buffer"]:
                t[field] = value
            t["buffer"] = ()
            return t

        def drained(t, parked):
            if parked is None:
                raise Fault("the end of the cache was read inside a return")
            t["drained"] += 1
            t["provider"] += parked + t["queue"]
            t["queue"] = 0
            t["shut"] = True

        # The buffer's oldest store reaches memory at any time.
        if s["buffer"]:
            (field, value), *rest = s["buffer"]
            yield new(**{field: value, "buffer": tuple(rest)})

        pc, held = s["pc"], s["held"]
        done = dict(pc="idle", reg=None)

        def elsewhere():  # a return that goes the way of other threads': locked, so the buffer is empty after it
            t = flushed(dict(s, held=held - 1, **done))
            t["provider" if t["shut"] else "queue"] += 1
            return tuple(t[f] for f in FIELDS)

        if pc == "idle" and s["ops"]:
            ops = s["ops"] - 1
            if mutation == "look before marking an allocation":
                yield new(ops=ops, pc="a0", reg=seen("owner"))
            else:
                yield new(ops=ops, pc="a1", buffer=stored(("served", seen("served") + 1)))
            if held:
                yield new(ops=ops, pc="r0")
            yield new(ops=ops, pc="e0")
        elif pc == "a0":
            yield new(pc="a1m", buffer=stored(("served", seen("served") + 1)))
        elif pc in ("a1", "a1m"):
            mine = s["reg"] if pc == "a1m" else seen("owner")
            if mine:
                yield new(pc="a2", reg=None)
            else:
                yield new(buffer=stored(("served", seen("served") + 1)), **done)
        elif pc == "a2":
            top = seen("top")
            if top:
                yield new(pc="a3", buffer=stored(("top", top - 1)))
            else:
                yield new(pc="s1", buffer=stored(("section", 1), ("served", seen("served") + 1)))
        elif pc == "a3":
            yield new(buffer=stored(("served", seen("served") + 1)), held=held + 1, **done)
        elif pc == "r0":
            if not seen("owner"):
                yield elsewhere()
            elif mutation == "look before marking a return":
                yield new(pc="r1m" if seen("limit") else "r1", reg=None)
            else:
                yield new(pc="r1")
        elif pc in ("r1", "r1m"):
            yield new(pc="r2" + pc[2:], reg=seen("top"))
        elif pc in ("r2", "r2m"):
            yield new(pc="r3" + pc[2:], buffer=stored(("top", None)))
        elif pc in ("r3", "r3m"):
            if pc == "r3" and not seen("limit"):
                yield new(pc="r5", buffer=stored(("top", s["reg"])))
            elif s["reg"] >= CAPACITY:
                # In a longer section, which gives the buffer to the provider.
                yield new(pc="s0", buffer=stored(("section", 1), ("top", s["reg"])))
            else:
                yield new(pc="r4")
        elif pc == "r4":
            yield new(buffer=stored(("top", s["reg"] + 1)), held=held - 1, **done)
        elif pc == "r5":
            yield elsewhere()
        elif pc == "e0":
            if seen("owner"):
                yield new(pc="e1")
            else:
                yield new(**done)
        elif pc == "e1":
            yield new(pc="e2", buffer=stored(("section", 1)))
        elif pc == "e2":
            yield new(pc="s1" if seen("owner") else "s2")
        elif pc == "s0":
            yield new(pc="s2", held=held - 1, provider=s["provider"] + 1)
        elif pc == "s1":
            # What a section does to the cache: a refill, or giving back.
            yield new(pc="s2")
            top = seen("top")
            if s["provider"] and top < CAPACITY:
                yield new(pc="s2", provider=s["provider"] - 1, buffer=stored(("top", top + 1)))
            if top:
                yield new(pc="s2", provider=s["provider"] + 1, buffer=stored(("top", top - 1)))
        elif pc == "s2":
            if mutation == "leave with a load and a store":
                yield new(pc="s3", reg=seen("section") & 2)
            else:
                t = flushed(s)
                closing = t["section"] & 2
                t.update(section=0, **done)
                if closing:
                    drained(t, t["top"])
                yield tuple(t[f] for f in FIELDS)
        elif pc == "s3":
            t = dict(s, buffer=stored(("section", 0)), **done)
            if s["reg"]:
                t = flushed(t)
                drained(t, t["top"])
            yield tuple(t[f] for f in FIELDS)

        cpc = s["cpc"]
        if cpc == 0:
            yield new(cpc=1, owner=False)
        elif cpc == 1:
            yield new(cpc=2, limit=False)
        elif cpc == 2:
            t = dict(s) if mutation == "no barrier" else flushed(s)
            t["cpc"] = 3
            yield tuple(t[f] for f in FIELDS)
        elif cpc == 3 and (s["served"] % 2 == 0 or mutation == "do not wait for an allocation"):
            yield new(cpc=4)
        elif cpc == 4 and (s["top"] is not None or mutation == "do not wait for a return"):
            yield new(cpc=5, creg=s["top"])
        elif cpc == 5:
            yield new(cpc=8 if s["section"] & 1 else 6, section=s["section"] | 2)
        elif cpc == 6:
            if mutation == "note the end of the cache before the section is asked":
                yield new(cpc=7)
            elif s["top"] is not None or mutation == "do not wait for a return":
                yield new(cpc=7, creg=s["top"])
        elif cpc == 7:
            t = dict(s, cpc=8)
            drained(t, s["creg"])
            yield tuple(t[f] for f in FIELDS)

    def check(frozen):
        s = dict(zip(FIELDS, frozen))
        if s["drained"] != 1:
            raise Fault(f"drained {s['drained']} times")
        if s["provider"] + s["held"] + s["queue"] != TOTAL:
            raise Fault(f"{s['provider']} + {s['held']} + {s['queue']} buffers of {TOTAL}")

    first = dict(served=0, top=1, section=0, owner=True, limit=True, buffer=(), pc="idle",
                 reg=None, ops=OPS, held=1, cpc=0, creg=None, provider=TOTAL - 2, queue=0, shut=False, drained=0)
    return explore(tuple(first[f] for f in FIELDS), step, check)


# --- Part 2 -------------------------------------------------------------------------------------------

def life(mutation):
    """State: (life in buffers + pins * 100, queue is shut, queued, ended), then each thread's counter: two that
    return a buffer each, one of them attended, and the closer."""

    def touch(ended):
        if ended:
            raise Fault("the pool was touched after its end")

    def drop(word, amount, ended):
        touch(ended)
        word -= amount
        return word, ended + (1 if word == 0 else 0)

    def step(state):
        word, shut, queued, ended, threads = state

        def at(i, pc, w=word, sh=shut, q=queued, e=ended):
            return (w, sh, q, e, threads[:i] + (pc,) + threads[i + 1:])

        for i, attended in ((0, False), (1, True)):
            pc = threads[i]
            if pc == 0:  # the queue is asked
                touch(ended)
                if attended and mutation != "attended without a pin":
                    yield at(i, 1, w=word + 100)
                else:
                    yield at(i, 1)
            elif pc == 1:
                touch(ended)
                if shut:
                    yield at(i, 3)
                else:
                    yield at(i, 2 if attended or mutation == "count after the push" else 9, q=queued + 1)
            elif pc == 2:  # the watermark is looked at
                touch(ended)
                yield at(i, 4 if attended and mutation != "attended without a pin" else 9)
            elif pc == 3:  # to the provider, then off the count
                w, e = drop(word, 1, ended)
                yield at(i, 4 if attended and mutation != "attended without a pin" else 9, w=w, e=e)
            elif pc == 4:
                w, e = drop(word, 100, ended)
                yield at(i, 9, w=w, e=e)
        pc = threads[2]
        if pc == 0:
            yield at(2, 1, sh=True)
        elif pc == 1:
            if queued:
                w, e = drop(word, queued, ended)
                yield at(2, 2, w=w, q=0, e=e)
            else:
                yield at(2, 2)
        elif pc == 2:
            w, e = drop(word, 100, ended)
            yield at(2, 9, w=w, e=e)

    def check(state):
        if state[3] != 1:
            raise Fault(f"ended {state[3]} times, {state[0]} left")

    start = (100 + 2, False, 0, 0, (0, 0, 0))
    return explore(start, step, check)


def main():
    wrong = 0
    for name, model, mutations in (
        ("keeping the owner out", keep_out, (
            "no barrier", "look before marking an allocation", "look before marking a return",
            "leave with a load and a store", "do not wait for an allocation", "do not wait for a return",
            "note the end of the cache before the section is asked")),
        ("what keeps the pool", life, ("attended without a pin", "count after the push")),
    ):
        states, fault = model(None)
        print(f"{name}: {states} states, {fault or 'no fault'}")
        wrong += fault is not None
        for mutation in mutations:
            states, fault = model(mutation)
            print(f"  mutated, {mutation}: {fault or 'NO FAULT FOUND'}")
            wrong += fault is None
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
