#include "fuzz.h"
#include "reader/records.h"

// What a reader that was taken over may report to its command: in two pieces, whose border is its first byte.
FUZZ(reader_report) {
  using namespace furnace::reader;
  if (input.empty()) return;
  std::vector<RecordKind> all;
  for (unsigned kind = 0; kind <= static_cast<unsigned>(RecordKind::Done); ++kind)
    all.push_back(static_cast<RecordKind>(kind));
  Decoder decoder(all);
  const std::string_view bytes(reinterpret_cast<const char*>(input.data()) + 1, input.size() - 1);
  const size_t border = std::min(bytes.size(), std::to_integer<size_t>(input[0]));
  const auto each = [](const Record& record) -> furnace::Status {
    (void)encode(record);
    return {};
  };
  if (decoder.take(bytes.substr(0, border), each)) (void)decoder.take(bytes.substr(border), each);
}
