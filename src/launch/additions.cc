#include "launch/additions.h"

#include "base/file.h"
#include "base/metrics.h"
#include "sandbox/view.h"

namespace furnace::launch {

namespace fs = std::filesystem;
using sandbox::Partition;

namespace {

constexpr size_t kMostOfFile = 256 << 20;

}  // namespace

Status add_writable(Partition& partition, const Directory& directory, const char* place) {
  if (partition.account) FURNACE_CHECK(sandbox::hand_over(directory, *partition.account));
  FURNACE_TRY(auto bind, sandbox::bind_of(directory.descriptor(), directory.path(), place, true));
  partition.view.binds.push_back(std::move(bind));
  partition.writable.emplace_back(place);
  return {};
}

Status add_visible(Partition& partition, const Directory& directory, const char* place) {
  FURNACE_TRY(auto bind, sandbox::bind_of(directory.descriptor(), directory.path(), place));
  partition.view.binds.push_back(std::move(bind));
  return {};
}

Status add_file(Partition& partition, const fs::path& source, const fs::path& place) {
  FURNACE_TRY(const NamedFile named, open_named(source));
  const auto content = read_descriptor(named.file, kMostOfFile);
  if (!content) return fail(content.error(), source.string());
  FURNACE_TRY(Fd data, sandbox::memory_file(*content));
  partition.view.contents.push_back({place, std::move(data)});
  return {};
}

Status add_large_file(Partition& partition, const fs::path& source, const fs::path& place) {
  FURNACE_TRY(const NamedFile named, open_named(source));
  if (partition.account) FURNACE_CHECK(sandbox::let_read(named.file, source, *partition.account));
  FURNACE_TRY(auto bind, sandbox::bind_of(named.file.get(), named.path, place));
  partition.view.files.push_back(std::move(bind));
  return {};
}

void add_handle(Partition& partition, const std::string& option, Fd descriptor) {
  partition.command.insert(partition.command.end(), {option, std::to_string(descriptor.get())});
  partition.handles.push_back(std::move(descriptor));
}

Status lend_metrics(Partition& partition, const std::string& where) {
  if (where.empty()) return {};
  FURNACE_TRY(auto metrics, MetricsSocket::bind(where));
  add_handle(partition, "--metrics-descriptor", std::move(metrics).take_apart());
  if (const auto path = metrics_path(where); !path.empty()) partition.leftovers.emplace_back(path);
  return {};
}

}  // namespace furnace::launch
