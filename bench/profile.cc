// Loading a Volatility ISF of 50 MB beside simdjson's parse of the same file alone.
// Usage: bench-profile VM     (its profile is exported and made larger by copies of its types)
#include <simdjson.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "guest/profile/export.h"
#include "guest/profile/profile_file.h"
#include "hypervisor/attach.h"
#include "samples.h"
#include "vmi/machine.h"

int main(int argc, char** argv) {
  using namespace furnace;
  auto driver = hypervisor::attach(argc > 1 ? argv[1] : "");
  if (!driver) {
    fmt::print(stderr, "usage: bench-profile VM ({})\n", driver.error().message());
    return 2;
  }
  vmi::Machine machine(*std::move(driver), nullptr);
  const auto kernel = machine.kernel();
  if (!kernel) return 1;
  const auto text = guest::export_profile((*kernel)->profile(), guest::ProfileFormat::Isf);
  if (!text) return 1;
  constexpr size_t size = 50 << 20;
  nlohmann::json isf = nlohmann::json::parse(*text);
  const nlohmann::json types = isf["user_types"];
  size_t length = text->size();
  for (int copy = 0; length < size; ++copy)
    for (auto type = types.begin(); type != types.end() && length < size; ++type) {
      const std::string name = fmt::format("{}_{}", type.key(), copy);
      isf["user_types"][name] = type.value();
      length += name.size() + type.value().dump().size() + 4;
    }
  const auto file = std::filesystem::temp_directory_path() / fmt::format("furnace-bench-{}.json", ::getpid());
  if (!write_file(file, isf.dump())) return 1;
  std::vector<double> bare, ours;
  for (int i = 0; i < 5; ++i) {
    bare.push_back(bench::microseconds([&] {
      simdjson::dom::parser parser;
      const auto loaded = simdjson::padded_string::load(file.string());
      if (loaded.error() == simdjson::SUCCESS) (void)parser.parse(loaded.value_unsafe()).error();
    }));
    ours.push_back(bench::microseconds([&] { (void)guest::load_profile(file); }));
  }
  fmt::print("ISF of {} MB: {:.0f} ms; simdjson's parse alone {:.0f} ms\n",
             std::filesystem::file_size(file) >> 20, bench::median(ours) / 1000, bench::median(bare) / 1000);
  std::filesystem::remove(file);
  return 0;
}
