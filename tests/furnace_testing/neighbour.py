"""An app that is served beside a hostile one, and how fast."""

from furnace_testing.places import APPS

NEIGHBOUR = '22222222-2222-2222-2222-222222222222-app'


def start_neighbour(cloud, uses='memory', app=NEIGHBOUR):
    """Starts tests/apps/neighbour.py; `uses`: memory of its VM, or its storage."""
    cloud.neighbour = cloud.start_app(APPS / 'neighbour', metadata=uses, app=app)
    return cloud.neighbour


def latencies(cloud):
    """The neighbour's so far: of each 20 calls the median and the maximum, in seconds."""
    lines = cloud.neighbour.out.splitlines()[1:]
    return [tuple(map(float, line.split())) for line in lines if line.count(' ') == 1]
