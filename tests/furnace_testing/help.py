"""The texts of --help."""

import re
from functools import cache

from furnace_testing.commands import furnace


@cache
def commands(command=()):
    """All commands, as tuples of words, with the text of their --help."""
    text = furnace(*command, '--help').stdout
    found = {command: text}
    for name in re.findall(r'^  ([a-z]+) ', text.partition('Subcommands:')[2], re.M):
        found |= commands((*command, name))
    return found
