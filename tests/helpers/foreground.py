"""The command as it is started from a terminal, for tests of signals."""

import sys

_CODE = """
import signal
# A background job inherits an ignored SIGINT, one under nohup an ignored SIGHUP; the test is of one
# in the foreground.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
from mrnn_edge_cli import main
main()
"""
COMMAND = (sys.executable, "-c", _CODE)
