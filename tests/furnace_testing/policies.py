"""Reads policies as rules, and writes policies that lack one."""

from furnace_testing.places import ROOT

POLICIES = ROOT / 'policies'


def parse_policy(name):
    """The rules of a policy file, each as the lines it is, and each line of a block as a rule of its own."""
    rules, block = [], None
    for line in (POLICIES / name).read_text().splitlines():
        text = line.split('#')[0].strip()
        if not text or text.startswith('INCLUDE'):
            continue
        if text.endswith('{'):
            block = text
        elif text == '}':
            block = None
        else:
            rules.append((block, text))
    return rules


def write_policy(path, rules):
    """Writes rules as parse_policy() returns them."""
    lines = [f'{block}\n  {text}\n}}' if block else text for block, text in rules]
    path.write_text('\n'.join(lines) + '\n')


def identify(rule):
    """A rule in one line."""
    block, text = rule
    return f'{block[:-1]}{text}' if block else text
