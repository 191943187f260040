from furnace_frontend import *
from furnace_frontend import checked as checked
