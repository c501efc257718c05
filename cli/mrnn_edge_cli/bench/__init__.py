"""How fast a model is on this machine, as a record that can be compared with an older one.

    figures.py       percentiles, and when a warm-up is over
    picture.py       the pictures that are timed; one is built in
    machine.py       the machine in a few words; cores that a run is kept to
    conditions.py    what else the machine did meanwhile
    start.py, peak.py  whole processes: their time and their highest memory
    measuring.py     the rounds, and the record of all of it
    record.py        the record and its JSON form
    comparing.py     two records: what may be compared, and what has become worse

Takes a captioner and pictures, gives a record; prints nothing and knows no command line.
"""

from mrnn_edge_cli.bench.comparing import (
    Comparison,
    Verdict,
    compare,
    parse_tolerance,
    refuse_unlike,
)
from mrnn_edge_cli.bench.machine import Machine, kept_to
from mrnn_edge_cli.bench.measuring import BenchOptions, Starts, measure, setting_of
from mrnn_edge_cli.bench.picture import Pictures, built_in, read_pictures
from mrnn_edge_cli.bench.record import BenchRecord, read_record

__all__ = [
    "BenchOptions",
    "BenchRecord",
    "Comparison",
    "Machine",
    "Pictures",
    "Starts",
    "Verdict",
    "built_in",
    "compare",
    "kept_to",
    "measure",
    "parse_tolerance",
    "read_pictures",
    "read_record",
    "refuse_unlike",
    "setting_of",
]
