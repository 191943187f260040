#include "launch/run/python_class.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "base/command.h"
#include "base/printable.h"
#include "base/text.h"

namespace furnace::launch {
namespace {

/// Prints "class NAME" or "name NAME" for each name of the module, or "error TEXT".
constexpr const char* kListNames = R"(
import ast, contextlib, os, resource, sys
with open(sys.argv[1], 'rb') as file:
    source = file.read()
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
with contextlib.suppress(OSError):
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

def names(node):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield 'class ' + child.name
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield 'name ' + child.name
        elif isinstance(child, ast.alias):
            yield 'name ' + (child.asname or child.name)
        elif isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            yield 'name ' + child.id
        else:
            yield from names(child)

try:
    print(*names(ast.parse(source)), sep='\n')
except SyntaxError as error:
    print(f'error line {error.lineno}: {error.msg}')
except (ValueError, RecursionError, MemoryError) as error:
    print('error', type(error).__name__, error)
)";

}  // namespace

Status check_python_class(const std::filesystem::path& file, const std::string& name) {
  const auto python = find_program("python3");
  if (python.empty()) return {};
  const auto listed =
      run({python.string(), "-I", "-S", "-W", "ignore", "-c", kListNames, std::filesystem::absolute(file)});
  if (!listed) return fail(Errc::Invalid, "{}: Python can't parse it", file.string());
  std::vector<std::string> classes;
  for (const std::string_view line : lines(*listed)) {
    const auto [kind, found, complete] = cut(line, ' ');
    if (!complete) continue;
    if (kind == "error") return fail(Errc::Invalid, "{}: {}", file.string(), printable(found));
    if (found == name || found == "*") return {};
    if (kind == "class") classes.emplace_back(found);
  }
  return fail(Errc::NotFound, "{}: it defines no class '{}' (its classes: {})", file.string(), name,
              classes.empty() ? "none" : printable(fmt::format("{}", fmt::join(classes, ", "))));
}

}  // namespace furnace::launch
