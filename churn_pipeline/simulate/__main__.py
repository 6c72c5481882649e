"""Takes part in a simulation that another process began (:mod:`~churn_pipeline.simulate.stream`)."""

import sys

from churn_pipeline.simulate.stream import main

sys.exit(main())
