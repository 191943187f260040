#include "hypervisor/snapshot/snapshot_file.h"

#include <fcntl.h>
#include <unistd.h>

namespace furnace::hypervisor {

Result<SnapshotFile> SnapshotFile::create(const std::filesystem::path& file) {
  FURNACE_TRY(NamedPlace place, place_of_file(file, Care::Links));
  const std::string partial = place.name + ".partial";
  ::unlinkat(place.directory.descriptor(), partial.c_str(), 0);  // of one that was killed
  // Memory holds secrets: only for the owner.
  FURNACE_TRY(Fd fd, place.directory.open_file(partial, O_WRONLY | O_CREAT | O_EXCL, 0600));
  return SnapshotFile(std::move(fd), std::move(place), file);
}

SnapshotFile::~SnapshotFile() {
  if (fd_.valid()) ::unlinkat(place_.directory.descriptor(), partial().c_str(), 0);
}

Status SnapshotFile::finish(uint64_t size) {
  if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0 || ::fsync(fd_.get()) != 0)
    return fail_errno("{}", file_.string());
  FURNACE_CHECK(place_.directory.rename(partial(), place_.name));
  fd_.close();
  return {};
}

}  // namespace furnace::hypervisor
