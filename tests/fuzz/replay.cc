// Runs a committed corpus through its fuzz target without libFuzzer: one pass, in the sanitizer build of the
// tests. Usage: replay TARGET DIRECTORY
#include <cstdio>
#include <filesystem>

#include "base/bytes.h"
#include "base/file.h"
#include "fuzz.h"

std::map<std::string_view, FuzzTarget>& fuzz_targets() {
  static std::map<std::string_view, FuzzTarget> targets;
  return targets;
}

int main(int argc, char** argv) {
  const auto target = argc == 3 ? fuzz_targets().find(argv[1]) : fuzz_targets().end();
  if (target == fuzz_targets().end()) {
    std::fprintf(stderr, "Usage: replay TARGET DIRECTORY\n");
    return 2;
  }
  int inputs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(argv[2])) {
    const auto content = furnace::read_file(entry.path());
    if (!content) return 1;
    target->second(furnace::as_bytes(*content));
    ++inputs;
  }
  std::printf("%d inputs\n", inputs);
  return inputs == 0 ? 1 : 0;
}
