"""Forensic tools in an APP partition: YARA on the memory of a guest."""

import re

import pytest

from furnace_testing import APP, ROOT, run_app

RULES = '''
rule marker { strings: $text = /furnace-forensic-[0-9a-f]{8}/ condition: $text }
rule kernel { strings: $banner = "Linux version " condition: $banner }
rule absent { strings: $text = "furnace-that-nobody-has-written" xor(1) condition: $text }
'''


@pytest.fixture
def scanning(cloud, shared_guest, work):
    """Scans the guest under a policy; what the app says, line by line."""
    cloud.start_vmi()
    (work / 'rules.yar').write_text(RULES)

    def scan(*flags):
        app = cloud.start(
            'app',
            '-c',
            ROOT / 'apps' / 'yara_scan' / 'app',
            '-m',
            'App',
            '--u2',
            APP,
            '--add',
            work / 'rules.yar',
            '--vmi',
            cloud.vmi_dir,
            *flags,
        )
        app.code = app.wait_end(120)
        return app

    return scan


def test_yara_finds_what_a_process_of_the_guest_has_in_its_memory(scanning, cloud, shared_guest):
    # Put together in the guest, so that the text is not in the console's buffers as a whole; and more than
    # once: two pages in a row need not be neighbours in RAM, and a text that begins in one and ends in the
    # other is found nowhere.
    shared_guest.run(
        "sh -c 'X=furnace-forens; A=${X}ic-0badcafe; B=${X}ic-0badcafe; C=${X}ic-0badcafe; : > /tmp/marked; "
        "while :; do sleep 1000; done' > /dev/null 2>&1 & while [ ! -e /tmp/marked ]; do sleep 0.1; done"
    )
    app = scanning('--forensic')
    assert app.code == 0, app.log
    assert re.search(r'^2\d\d MB scanned, \d+ matches$', app.out, re.M), (app.out, app.log)
    found = [re.match(r'(\w+) (0x[0-9a-f]+) (\d+) (b.*)$', line) for line in app.out.splitlines()]
    by_rule = {}
    for each in filter(None, found):
        by_rule.setdefault(each[1], []).append((int(each[2], 16), int(each[3]), each[4]))
    assert set(by_rule) == {'marker', 'kernel'}, (app.out, app.log, shared_guest.run('ps'))
    assert any(
        (length, text) == (25, "b'furnace-forensic-0badcafe'") for _, length, text in by_rule['marker']
    )
    # Each is where it is said to be, and told once.
    places = [place for matches in by_rule.values() for place, *_ in matches]
    assert len(places) == len(set(places))
    (read,) = run_app(cloud, f"show(fe.read_pa({by_rule['kernel'][0][0]}, 14).decode())")
    assert read == 'Linux version '


def test_without_the_flag_there_is_no_yara_in_a_partition(scanning):
    app = scanning()
    assert app.code != 0 and "No module named 'yara'" in app.log


def test_it_is_inspected_all_the_same(cloud, work):
    cloud.start_vmi()
    code = 'import yara, os\nclass App:\n    def __init__(self, ctx):\n        os.fork()\n'
    app = cloud.start(
        'app', '-c', cloud.source('app', code), '--u2', APP, '--vmi', cloud.vmi_dir, '--forensic'
    )
    assert app.wait_end(30) == 159
    assert 'violation' in app.log
