"""`python -m web` is `guitu`."""

import sys

from web.cli import main

sys.exit(main())
