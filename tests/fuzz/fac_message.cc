#include <unistd.h>

#include <filesystem>

#include "facilities/calls.h"
#include "fuzz.h"

// A message as an app may send it to FAC, executed on storage with a small quota.
namespace {

/// Is gone when the run ends.
struct TemporaryDirectory {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("furnace-fuzz-" + std::to_string(::getpid()));
  TemporaryDirectory() { std::filesystem::create_directories(path); }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

}  // namespace

FUZZ(fac_message) {
  using namespace furnace::facilities;
  static const TemporaryDirectory directory;
  static Storage storage = *Storage::open(directory.path, 256);
  FacMessage message;
  static Counters counters;
  if (message.ParseFromArray(input.data(), static_cast<int>(input.size())))
    (void)execute(storage, message, counters).SerializeAsString();
}
