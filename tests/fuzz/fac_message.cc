#include <filesystem>

#include "facilities/server.h"
#include "fuzz.h"

// A message as an app may send it to FAC, executed on storage with a small quota.
void fuzz(std::span<const std::byte> input) {
  using namespace furnace::facilities;
  static Storage storage = [] {
    const auto directory = std::filesystem::temp_directory_path() / "furnace-fuzz-storage";
    std::filesystem::create_directories(directory);
    return *Storage::open(directory, 256);
  }();
  FacMessage message;
  if (message.ParseFromArray(input.data(), static_cast<int>(input.size())))
    (void)execute(storage, message).SerializeAsString();
}
