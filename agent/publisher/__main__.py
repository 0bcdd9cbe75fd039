"""`python -m agent.publisher`."""

import sys

from agent.publisher.daemon import main

sys.exit(main())
