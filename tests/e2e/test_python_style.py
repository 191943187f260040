"""Python of this repository is at most 110 columns wide, and a fixture says how it differs from others."""

import ast
import io
import subprocess
import tokenize

import pytest

from furnace_testing import ROOT

COLUMNS = 110  # pyproject.toml
LISTED = subprocess.run(['git', 'ls-files', '*.py', '*.pyi'], cwd=ROOT, capture_output=True, text=True)
FILES = sorted(LISTED.stdout.split()) or sorted(
    str(path.relative_to(ROOT))
    for folder in ('apps', 'bench', 'python', 'tests')
    for path in (ROOT / folder).rglob('*.py*')
    if path.suffix in ('.py', '.pyi')
)
TESTS = [file for file in FILES if file.startswith('tests/')]


def of_long_strings(source):
    """The lines of strings that span lines: programs for apps, guests and compilers."""
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.STRING and token.end[0] > token.start[0]:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return lines


def docstrings(tree):
    """The lines of docstrings, which are not excused."""
    lines = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
            lines |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return lines


def is_fixture(node):
    return isinstance(node, ast.FunctionDef) and any(
        'pytest.fixture' in ast.unparse(decorator) for decorator in node.decorator_list
    )


def test_there_are_files():
    """The tests below are worth nothing if they look for nothing."""
    assert {'apps/pslist/app.py', 'python/furnace_frontend.pyi', 'tests/conftest.py'} <= set(FILES)


@pytest.mark.parametrize('file', FILES)
def test_lines_are_not_too_long(file):
    source = (ROOT / file).read_text()
    excused = of_long_strings(source) - docstrings(ast.parse(source))
    lines = enumerate(source.splitlines(), 1)
    assert [number for number, line in lines if len(line) > COLUMNS and number not in excused] == []


@pytest.mark.parametrize('file', TESTS)
def test_fixtures_have_docstrings(file):
    tree = ast.parse((ROOT / file).read_text())
    assert [node.name for node in ast.walk(tree) if is_fixture(node) and not ast.get_docstring(node)] == []
