from furnace_backend import *
