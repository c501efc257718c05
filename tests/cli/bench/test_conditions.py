"""What else a machine did, on clocks and counters that were made up."""

import os
import sys

import pytest

from mrnn_edge_cli.bench.conditions import Conditions, LoadWatch

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads files of Linux")


class FakeMachine:
    """Two cores of many, a clock and the own CPU time, all turned by hand."""

    def __init__(self, root, monkeypatch):
        self.root, self.wall, self.own = root, 100.0, 10.0
        self.cores = {name: [0] * 10 for name in ("cpu0", "cpu1", "cpu7")}
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 7}, raising=False)
        monkeypatch.setattr(os, "sysconf", lambda _: 100)
        (root / "proc").mkdir()
        self.write()

    def write(self):
        lines = ["cpu 1 2 3 4 5 6 7 8 9 10", "intr 5"]
        lines += [f"{name} {' '.join(map(str, row))}" for name, row in self.cores.items()]
        (self.root / "proc/stat").write_text("\n".join(lines))

    def spend(self, core, *, user=0, nice=0, idle=0, disk=0, irq=0, stolen=0, guest=0):
        """Hundredths of a second on a core."""
        row = self.cores[core]
        for column, ticks in ((0, user), (1, nice), (3, idle), (4, disk), (5, irq), (7, stolen)):
            row[column] += ticks
        row[8] += guest
        self.write()

    def watch(self):
        return LoadWatch(self.root, clock=lambda: self.wall, own=lambda: self.own)


@pytest.fixture
def fake(tmp_path, monkeypatch):
    return FakeMachine(tmp_path, monkeypatch)


@linux
def test_what_others_took_is_what_was_busy_less_our_own(fake):
    watch = fake.watch()
    fake.wall += 10.0
    fake.own += 6.0
    fake.spend("cpu0", user=500, idle=400, disk=100)
    fake.spend("cpu7", user=200, nice=100, irq=100, idle=500, stolen=100)
    fake.spend("cpu1", user=1000)  # a core that is not ours to use
    seen = watch.conditions(spread=1.1)
    assert seen.other_cores == pytest.approx(0.3)  # (5 + 4 - 6) s of 10
    assert seen.steal_share == pytest.approx(0.05)  # 1 s of 20
    assert seen.busy
    assert any("0.30 cores" in reason for reason in seen.reasons())


@linux
def test_an_idle_machine_is_quiet_and_a_guest_is_not_counted_twice(fake):
    watch = fake.watch()
    fake.wall += 10.0
    fake.own += 9.0
    fake.spend("cpu0", user=500, guest=500)
    fake.spend("cpu7", user=402)
    seen = watch.conditions(spread=1.2)
    assert seen.other_cores == pytest.approx(0.002)
    assert (seen.busy, seen.reasons()) == (False, [])


def test_without_counters_the_spread_alone_judges(tmp_path):
    watch = LoadWatch(tmp_path, clock=lambda: 1.0, own=lambda: 1.0)
    calm, wild = watch.conditions(spread=1.1), watch.conditions(spread=2.5)
    assert (calm.other_cores, calm.steal_share) == (None, None)
    assert not calm.busy
    assert wild.reasons() == ["p95 is 2.50 times p50"]


@pytest.mark.parametrize(
    ("other", "steal", "spread", "busy"),
    [
        (0.1, 0.02, 1.25, False),
        (0.11, 0.0, 1.0, True),
        (0.0, 0.03, 1.0, True),
        (0.0, 0.0, 1.26, True),
        (None, None, 1.0, False),
    ],
)
def test_each_sign_alone_makes_a_machine_busy(other, steal, spread, busy):
    seen = Conditions(other_cores=other, steal_share=steal, load_average=9.0, spread=spread)
    assert seen.busy is busy
    assert seen.to_dict()["busy"] is busy
