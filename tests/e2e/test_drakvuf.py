"""The DRAKVUF plugin's way into DRAKVUF. FURNACE_DRAKVUF names a checkout to build it in; its code is tested
without one (tests/unit/vmi/embedding)."""

import os
import shutil
import subprocess

import pytest

from furnace_testing import ROOT

INSTALL = ROOT / 'drakvuf' / 'install-plugin'

# The places in DRAKVUF's files that lines are added to.
LAYOUT = {
    'meson_options.txt': (
        "option('plugin-linkmon', type : 'boolean', value : true)\n\n# Disabled by default plugins\n"
    ),
    'src/plugins/meson.build': (
        "if get_option('plugin-syscalls')\n    plugin_sources += 'syscalls/syscalls.cpp'\nendif\n"
    ),
    'src/plugins/plugins.h': (
        'typedef enum drakvuf_plugin\n{\n    PLUGIN_LINKMON,\n    __DRAKVUF_PLUGIN_LIST_MAX\n}'
        ' drakvuf_plugin_t;\n\nstatic const char* drakvuf_plugin_names[] =\n{\n    [PLUGIN_LINKMON] ='
        ' "linkmon",\n};\n\nstatic const bool'
        ' drakvuf_plugin_os_support[__DRAKVUF_PLUGIN_LIST_MAX][VMI_OS_WINDOWS+1] =\n{\n    [PLUGIN_LINKMON]  '
        '    = { [VMI_OS_WINDOWS] = 1, [VMI_OS_LINUX] = 0 },\n};\n'
    ),
    'src/plugins/plugins.cpp': (
        '#include "plugins.h"\n#include "syscalls/syscalls.h"\n\n            {\n#ifdef'
        ' ENABLE_PLUGIN_SYSCALLS\n                case PLUGIN_SYSCALLS:\n                    break;\n#endif\n'
    ),
}


def install(checkout):
    return subprocess.run([INSTALL, checkout], capture_output=True, text=True)


@pytest.fixture
def checkout(work):
    """A directory laid out as a checkout of DRAKVUF."""
    for file, text in LAYOUT.items():
        (work / file).parent.mkdir(parents=True, exist_ok=True)
        (work / file).write_text(text)
    return work


def contents(checkout):
    return {file: (checkout / file).read_text() for file in LAYOUT}


def test_the_plugin_is_registered_once(checkout):
    assert install(checkout).returncode == 0
    first = contents(checkout)
    assert all('furnace' in text.lower() for text in first.values())
    header = first['src/plugins/plugins.h']
    assert header.index('    PLUGIN_FURNACE,\n') < header.index('    __DRAKVUF_PLUGIN_LIST_MAX\n')
    assert (checkout / 'src/plugins/furnace/furnace.cpp').exists()
    assert install(checkout).returncode == 0 and contents(checkout) == first


@pytest.mark.parametrize('file', LAYOUT)
def test_an_unknown_layout_is_not_changed(checkout, file):
    (checkout / file).write_text('another DRAKVUF\n')
    before = contents(checkout)
    refused = install(checkout)
    assert (
        refused.returncode == 1
        and f'{file}: expected one place like' in refused.stderr
        and 'by hand' in refused.stderr
    )
    assert contents(checkout) == before and not (checkout / 'src/plugins/furnace').exists()
    (checkout / file).unlink()
    assert 'expected a checkout of DRAKVUF' in install(checkout).stderr


@pytest.mark.skipif(
    'FURNACE_DRAKVUF' not in os.environ,
    reason='no checkout of DRAKVUF to build the plugin in (FURNACE_DRAKVUF)',
)
def test_drakvuf_is_built_with_the_plugin_in_it(tmp_path):
    """With its own warnings and ours, all of them errors. LibVMI must be where pkg-config finds it."""
    checkout, prefix = tmp_path / 'drakvuf', tmp_path / 'furnace'
    shutil.copytree(os.environ['FURNACE_DRAKVUF'], checkout)
    assert install(checkout).returncode == 0
    subprocess.run(
        ['cmake', '--install', ROOT / 'build', '--prefix', prefix], check=True, stdout=subprocess.DEVNULL
    )
    paths = f'{prefix / "lib" / "pkgconfig"}:{os.environ.get("PKG_CONFIG_PATH", "")}'
    environment = dict(os.environ, CC='clang', CXX='clang++', PKG_CONFIG_PATH=paths)
    subprocess.run(
        ['meson', 'setup', 'build', '-Drelease=true', '-Db_lto=false'],
        cwd=checkout,
        env=environment,
        check=True,
    )
    subprocess.run(['ninja', '-C', 'build', 'drakvuf'], cwd=checkout, env=environment, check=True)
    program = (checkout / 'build' / 'drakvuf').read_bytes()
    assert b'libfurnace-vmi-host.so' in program and b'FURNACE_VMI_DIR' in program
