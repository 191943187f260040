#include "sandbox/python_library.h"

#include "base/command.h"
#include "base/text.h"

namespace furnace::sandbox {
namespace {

/// Reads what the modules import, does not run them. What they import if it happens to be there, and no app
/// in a partition can use (TLS, terminals, other programs' formats), is left out.
constexpr const char* kCollect = R"python(
import importlib.util, marshal, modulefinder, os, sys, sysconfig, zipfile

ROOTS = '''
abc argparse array ast asyncio base64 binascii bisect bz2 calendar cmath codecs collections colorsys concurrent.futures contextlib
contextvars copy copyreg csv ctypes dataclasses datetime decimal difflib enum errno fnmatch fractions functools gc getopt glob graphlib gzip
hashlib heapq hmac html inspect io ipaddress itertools json keyword linecache locale logging logging.handlers lzma math mmap numbers
operator os pathlib pickle pkgutil platform posixpath pprint pydoc queue random re reprlib sched secrets select selectors shlex signal site
socket stat statistics string struct subprocess tempfile textwrap threading time timeit token tokenize tomllib traceback
types typing unicodedata urllib.parse uuid warnings weakref xml.etree.ElementTree zipfile zipimport zlib zoneinfo
'''.split()
WITHOUT = '''
bdb cmd code curses distutils doctest email ensurepip ftplib http idlelib lib2to3 msvcrt multiprocessing nt pdb
readline smtplib sqlite3 ssl _ssl test tkinter unittest urllib.request webbrowser winreg xmlrpc
'''.split()

target, ours, more = sys.argv[1:]
packages = '/usr/lib/python3/dist-packages'
version = f'{sys.version_info[0]}.{sys.version_info[1]}'
library = os.path.dirname(os.path.realpath(os.__file__))
finder = modulefinder.ModuleFinder(path=[library, library + '/lib-dynload', ours], excludes=WITHOUT)
for name in [*ROOTS, sysconfig._get_sysconfigdata_name()]:  # imported by a name that is made at run time
    finder.import_hook(name)
for name in more.split():
    if importlib.machinery.PathFinder.find_spec(name, [packages]) is None:
        sys.exit(f'Python module {name} is not installed (Debian: python3-{name})')
    finder.path = [library, library + '/lib-dynload', packages]
    finder.import_hook(name)
files, extensions = {}, set()
for module in finder.modules.values():
    path = module.__file__
    if path is None:
        continue
    if path.endswith('.so'):
        extensions.add(path)
    else:
        files[module.__name__.replace('.', '/') + ('/__init__' if module.__path__ else '')] = path
for name in os.listdir(library + '/encodings'):
    if name.endswith('.py'):
        files['encodings/' + name[:-3]] = f'{library}/encodings/{name}'
for name in os.listdir(ours):
    if name.endswith('.py'):
        files[name[:-3]] = f'{ours}/{name}'
with zipfile.ZipFile(target, 'w') as out:
    for name in sorted(files):
        with open(files[name], 'rb') as source:
            text = source.read()
        # Checked by nobody: the sources are not there.
        code = compile(text, f'<{name}>' if files[name].startswith(library) else f'{name}.py', 'exec', dont_inherit=True)
        header = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, 'little') + importlib.util.source_hash(text)
        out.writestr(zipfile.ZipInfo(name + '.pyc'), header + marshal.dumps(code))
print('directory', f'python{version}')
print('zip', f'python{version.replace(".", "")}.zip')
for name in sorted(files):
    print('source', files[name])
for path in sorted(extensions):
    print('extension', path)
)python";

}  // namespace

Result<PythonLibrary> collect_python_library(const std::filesystem::path& zip,
                                             const std::filesystem::path& ours, std::string_view more) {
  FURNACE_TRY(const std::string listing,
              run({"/usr/bin/env", "-i", "PYTHONHASHSEED=0", "/usr/bin/python3", "-S", "-B", "-s", "-c",
                   kCollect, zip.string(), ours.string(), std::string(more)}));
  PythonLibrary library;
  for (const std::string_view line : lines(listing)) {
    const Cut parts = cut(line, ' ');
    const std::string_view what = parts.before, value = parts.after;
    if (what == "directory") library.directory = value;
    if (what == "zip") library.zip_name = value;
    if (what == "source") library.sources.emplace_back(value);
    if (what == "extension") library.extensions.emplace_back(value);
  }
  return library;
}

}  // namespace furnace::sandbox
