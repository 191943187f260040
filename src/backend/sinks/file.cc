#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/sinks/record.h"
#include "backend/sinks/sink.h"
#include "base/directory.h"
#include "base/fd.h"

namespace furnace::backend {
namespace {

namespace fs = std::filesystem;

class FileSink : public Sink {
 public:
  FileSink(NamedPlace place, uint64_t rotate, unsigned keep)
      : place_(std::move(place)),
        path_(place_.directory.path() / place_.name),
        rotate_(rotate),
        keep_(keep) {}

  Status open() {
    FURNACE_TRY(file_, place_.directory.open_file(place_.name, O_WRONLY | O_CREAT | O_APPEND, 0600));
    struct stat status {};
    if (::fstat(file_.get(), &status) != 0) return fail_errno("{}", path_.string());
    size_ = static_cast<uint64_t>(status.st_size);
    return {};
  }

  Status write(std::span<const Message> messages) override {
    std::string lines;
    for (const Message& message : messages) lines += to_json(message) + '\n';
    if (size_ != 0 && size_ + lines.size() > rotate_) FURNACE_CHECK(rotate());
    for (size_t done = 0; done < lines.size();) {
      const ssize_t put = ::write(file_.get(), lines.data() + done, lines.size() - done);
      if (put < 0) {
        const auto error = fail_errno("{}", path_.string());
        (void)!::ftruncate(file_.get(), static_cast<off_t>(size_));  // no half lines, which would come again
        return error;
      }
      done += static_cast<size_t>(put);
    }
    size_ += lines.size();
    return {};
  }

 private:
  [[nodiscard]] std::string numbered(unsigned number) const {
    return number == 0 ? place_.name : fmt::format("{}.{}", place_.name, number);
  }

  Status rotate() {
    if (keep_ == 0) ::unlinkat(place_.directory.descriptor(), place_.name.c_str(), 0);
    for (unsigned number = keep_; number-- > 0;)
      (void)place_.directory.rename(numbered(number), numbered(number + 1));
    return open();
  }

  NamedPlace place_;
  fs::path path_;
  uint64_t rotate_;
  unsigned keep_;
  Fd file_;
  uint64_t size_ = 0;
};

}  // namespace

Result<std::unique_ptr<Sink>> file_sink(const fs::path& file, uint64_t rotate, unsigned keep) {
  FURNACE_TRY(NamedPlace place, place_of_file(file, Care::Links));
  auto sink = std::make_unique<FileSink>(std::move(place), rotate, keep);
  FURNACE_CHECK(sink->open());
  return sink;
}

}  // namespace furnace::backend
