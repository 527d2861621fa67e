"""HTTP, command line, pages and messaging platforms around the bot."""

import os

# Read by numpy's linear algebra when it is first imported. Its products here are small: a second thread gains half a
# millisecond of a question and then spins for 15 ms, which other questions wait for.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
