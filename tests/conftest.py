"""What every test may rely on, however the suite was started."""

from __future__ import annotations

import signal

# A shell starts what runs in its background with Ctrl-C ignored, and programs pass that on to those they start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
