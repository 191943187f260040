"""Documents, help texts and public headers use the words of CONTRIBUTING.md's list, and name files that
exist.
"""

import re

import pytest

from furnace_testing import ROOT, furnace
from furnace_testing.help import commands

SPECIFICATION = 'docs/spec/'  # fixed with version 1.0, as it was worded then
DOCUMENTS = [
    str(path.relative_to(ROOT))
    for path in sorted([*ROOT.glob('*.md'), *ROOT.glob('docs/*.md'), ROOT / 'tests/README.md'])
]
HEADERS = [
    str(path.relative_to(ROOT))
    for path in sorted([*ROOT.glob('include/furnace/*.h'), *ROOT.glob('python/*.pyi')])
]
FOLDERS = (
    'apps',
    'bench',
    'cmake',
    'docs',
    'drakvuf',
    'include',
    'policies',
    'proto',
    'python',
    'scripts',
    'shell',
    'src',
    'tests',
)
LONGEST_LINE = 100


def read(name):
    return (ROOT / name).read_text()


def word_list():
    """The words to avoid: those in `this type` in the right column of the list."""
    rows = read('CONTRIBUTING.md').partition('| write | not |')[2]
    return [word for line in rows.splitlines() for word in re.findall('`([^`]+)`', line.rpartition(' | ')[2])]


def avoided(text):
    """(line number, word) of each word in the text that the list says to avoid."""
    words = re.compile(rf'\b({"|".join(map(re.escape, word_list()))})\b', re.I)
    for number, line in enumerate(text.splitlines(), 1):
        for word in words.findall(line):
            yield number, word


def blank(match):
    return re.sub(r'[^\n]', ' ', match[0])


def prose(markdown):
    """The text without code: blocks, indented blocks and code spans become spaces, so that line numbers
    stay.
    """
    for code in (r'^```.*?^```', r'^    .*$', r'`[^`]*`'):
        markdown = re.sub(code, blank, markdown, flags=re.M | re.S if '```.' in code else re.M)
    return markdown


def test_the_list_has_words():
    """The tests below are worth nothing if they look for nothing."""
    assert {'stands', 'told', 'behind', 'alone'} <= set(word_list())
    assert list(avoided('the guest stands')) == [(1, 'stands')]


@pytest.mark.parametrize('document', DOCUMENTS)
def test_documents_use_the_words_of_the_list(document):
    assert list(avoided(prose(read(document)))) == []


@pytest.mark.parametrize('header', HEADERS)
def test_public_headers_use_the_words_of_the_list(header):
    names = r"\bGone\b|'gone'"  # of a kind of errors
    assert list(avoided(re.sub(names, '', read(header)))) == []


def comments(source):
    """What follows // in each line, on that line; names of codes are no words."""
    found = (re.search(r'//(.*)', line) for line in source.splitlines())
    return '\n'.join(match[1] if match else '' for match in found).replace('Errc::Gone', '')


def test_comments_use_the_words_of_the_list():
    sources = sorted([*ROOT.glob('src/**/*.h'), *ROOT.glob('src/**/*.cc')])
    assert len(sources) > 300
    assert {
        str(source.relative_to(ROOT)): found
        for source in sources
        if (found := list(avoided(comments(source.read_text()))))
    } == {}


def test_help_uses_the_words_of_the_list():
    assert {
        ' '.join(command): found for command, text in commands().items() if (found := list(avoided(text)))
    } == {}


@pytest.mark.parametrize('document', DOCUMENTS)
def test_files_that_documents_name_exist(document):
    named = re.findall(rf'`((?:{"|".join(FOLDERS)})/[\w./-]*)`', read(document))
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize('document', DOCUMENTS)
def test_source_files_that_documents_name_exist(document):
    rooms = '|'.join(path.name for path in (ROOT / 'src').iterdir() if path.is_dir())
    named = re.findall(rf'`((?:{rooms})/[\w./-]*\.(?:cc|h))`', read(document))
    assert [
        name
        for name in named
        if not any((ROOT / folder / name).exists() for folder in ('src', 'tests', 'bench', 'include'))
    ] == []


@pytest.mark.parametrize('document', DOCUMENTS)
def test_lines_of_prose_fit_a_screen(document):
    lines = re.sub(r'^```.*?^```', blank, read(document), flags=re.M | re.S).splitlines()
    assert [line for line in lines if len(line) > LONGEST_LINE and not line.startswith(('|', '    '))] == []


def test_every_document_is_listed():
    assert [
        name
        for name in DOCUMENTS
        if name.startswith('docs/')
        and name != 'docs/README.md'
        and f'({name.removeprefix("docs/")})' not in read('docs/README.md')
    ] == []


def test_the_list_of_calls_is_the_one_that_the_program_prints():
    assert read('docs/calls.md') == furnace('calls', '--markdown').stdout


def test_the_stubs_of_calls_are_those_that_the_program_prints():
    assert furnace('calls', '--stubs').stdout in read('python/furnace_frontend.pyi')
    assert furnace('calls', '--header').stdout in read('include/furnace/calls.h')
