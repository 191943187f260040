// Runs the committed corpora through a fuzz target without libFuzzer: one pass, in the sanitizer build of the
// tests. Usage: replay-NAME DIRECTORY
#include <cstdio>
#include <filesystem>

#include "base/bytes.h"
#include "base/file.h"
#include "fuzz.h"

int main(int argc, char** argv) {
  int inputs = 0;
  for (int i = 1; i < argc; ++i)
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      const auto content = furnace::read_file(entry.path());
      if (!content) return 1;
      fuzz(furnace::as_bytes(*content));
      ++inputs;
    }
  std::printf("%d inputs\n", inputs);
  return inputs == 0 ? 1 : 0;
}
