// Loading a Volatility ISF of 50 MB beside simdjson's parse of the same file alone.
// Usage: bench-profile VM     (its profile is exported and made larger by copies of its types)
#include <simdjson.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "guest/profile/export.h"
#include "guest/profile/profile_file.h"
#include "hypervisor/drivers.h"
#include "samples.h"
#include "vmi/machine.h"

namespace furnace {
namespace {

/// `text` with its structures again and again under other names, until it is 50 MB.
std::string enlarged(const std::string& text) {
  constexpr size_t size = 50 << 20;
  nlohmann::json isf = nlohmann::json::parse(text);
  const nlohmann::json types = isf["user_types"];
  size_t length = text.size();
  for (int copy = 0; length < size; ++copy)
    for (auto type = types.begin(); type != types.end() && length < size; ++type) {
      const std::string name = fmt::format("{}_{}", type.key(), copy);
      isf["user_types"][name] = type.value();
      length += name.size() + type.value().dump().size() + 4;
    }
  return isf.dump();
}

void parse(const std::string& file) {
  simdjson::dom::parser parser;
  const auto loaded = simdjson::padded_string::load(file);
  if (loaded.error() == simdjson::SUCCESS) (void)parser.parse(loaded.value_unsafe()).error();
}

/// Microseconds of a fresh process of this program that does `work`: tools load a profile once, into new
/// memory.
double in_a_process(const char* work, const std::string& file) {
  return bench::microseconds([&] {
    const pid_t child = ::fork();
    if (child == 0) {
      ::execl("/proc/self/exe", "bench-profile", work, file.c_str(), nullptr);
      ::_exit(1);
    }
    ::waitpid(child, nullptr, 0);
  });
}

}  // namespace
}  // namespace furnace

int main(int argc, char** argv) {
  using namespace furnace;
  if (argc == 3 && std::string_view(argv[1]) == "parse") return parse(argv[2]), 0;
  if (argc == 3 && std::string_view(argv[1]) == "load") return guest::load_profile(argv[2]) ? 0 : 1;
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
  const auto file = std::filesystem::temp_directory_path() / fmt::format("furnace-bench-{}.json", ::getpid());
  if (!write_file(file, enlarged(*text))) return 1;
  std::vector<double> bare, ours;
  for (int i = 0; i < 5; ++i) {
    bare.push_back(in_a_process("parse", file));
    ours.push_back(in_a_process("load", file));
  }
  fmt::print("ISF of {} MB: {:.0f} ms; simdjson's parse alone {:.0f} ms\n",
             std::filesystem::file_size(file) >> 20, bench::median(ours) / 1000, bench::median(bare) / 1000);
  std::filesystem::remove(file);
  return 0;
}
