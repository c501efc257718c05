"""Joules out of counters that were made up."""

import pytest

from mrnn_edge.bench.energy import EnergyMeter


def zone(root, name, label, *, microjoules, most=1_000_000_000):
    folder = root / "sys/class/powercap" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "name").write_text(f"{label}\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text(f"{most}\n")


def test_packages_are_added_and_their_parts_and_the_board_are_not(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0", microjoules=5_000_000)
    zone(tmp_path, "intel-rapl:0:0", "core", microjoules=1_000_000)
    zone(tmp_path, "intel-rapl:1", "package-1", microjoules=100)
    zone(tmp_path, "intel-rapl:2", "psys", microjoules=7)
    meter = EnergyMeter.begun(tmp_path)
    assert meter is not None
    zone(tmp_path, "intel-rapl:0", "package-0", microjoules=7_500_000)
    zone(tmp_path, "intel-rapl:0:0", "core", microjoules=90_000_000)
    zone(tmp_path, "intel-rapl:1", "package-1", microjoules=500_100)
    zone(tmp_path, "intel-rapl:2", "psys", microjoules=99_000_000)
    assert meter.joules() == pytest.approx(3.0)


def test_a_counter_that_began_anew_is_seen_through(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0", microjoules=900_000, most=1_000_000)
    meter = EnergyMeter.begun(tmp_path)
    assert meter is not None
    zone(tmp_path, "intel-rapl:0", "package-0", microjoules=200_000, most=1_000_000)
    assert meter.joules() == pytest.approx(0.3)


def test_a_machine_that_tells_nothing_or_nonsense_has_no_meter(tmp_path):
    assert EnergyMeter.begun(tmp_path) is None
    zone(tmp_path, "intel-rapl:0", "package-0", microjoules="locked")
    assert EnergyMeter.begun(tmp_path) is None
