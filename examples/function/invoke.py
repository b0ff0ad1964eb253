"""Calls the handler once, as a function runtime does: it loads the code, then gives one call so many seconds.

    python examples/function/invoke.py "What is a forebay?"
    python examples/function/invoke.py --timeout 3 "Tell me a long story"

When the time is over the process is killed, whatever it waits for.
"""

import argparse
import signal

from handler import handler

parser = argparse.ArgumentParser(description="Call the handler once.")
parser.add_argument("--timeout", type=int, default=0, help="seconds until the process is killed; 0 is never")
parser.add_argument("prompt")
args = parser.parse_args()

signal.alarm(args.timeout)  # nothing catches SIGALRM, so it ends the process
print(handler({"prompt": args.prompt}, None))
