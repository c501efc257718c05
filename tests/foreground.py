"""The command as it is started from a terminal, for tests of signals."""

import sys

_CODE = """
import signal
# A background job inherits an ignored SIGINT; the test is of one in the foreground.
signal.signal(signal.SIGINT, signal.default_int_handler)
from mrnn_edge_cli import main
main()
"""
COMMAND = (sys.executable, "-c", _CODE)
