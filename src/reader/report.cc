#include "reader/report.h"

#include <unistd.h>

#include <cerrno>

namespace furnace::reader {

Status Report::add(Record record) {
  waiting_ += encode(std::move(record));
  return waiting_.size() < kPiece ? Status() : flush();
}

Status Report::add_pieces(RecordKind kind, std::string_view bytes) {
  for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), kPiece)))
    FURNACE_CHECK(add({kind, {}, {std::string(bytes.substr(0, kPiece))}}));
  return {};
}

Status Report::flush() {
  std::string_view rest = waiting_;
  while (!rest.empty()) {
    const ssize_t put = ::write(pipe_.get(), rest.data(), rest.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return fail_errno("report");
    rest.remove_prefix(static_cast<size_t>(put));
  }
  waiting_.clear();
  return {};
}

}  // namespace furnace::reader
