"""The tenant API of a backend: a short name for furnace_backend."""

import sys

import furnace_backend

sys.modules[__name__] = furnace_backend
