"""The tenant API of an app: a short name for furnace_frontend."""

import sys

import furnace_frontend

sys.modules[__name__] = furnace_frontend
