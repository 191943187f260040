#include "reader/records.h"

#include <cstring>

#include "base/bytes.h"

namespace furnace::reader {
namespace {

constexpr size_t kName = 64, kPath = 200 << 10, kLine = 16 << 10, kProblem = 1024, kTypeName = 4096;
constexpr uint64_t kMany = 1 << 20, kManyBytes = uint64_t{256} << 20;

constexpr std::array kForms = {
    Form{RecordKind::Failed, 1, {4096}, 1, 8192},
    Form{RecordKind::Process, 7, {kName, kPath, kLine, kProblem}, 128 << 10, kManyBytes},
    Form{RecordKind::Gap, 0, {kProblem}, 1, 8192},
    Form{RecordKind::Kernel, 7, {kTypeName}, 1, 8192},
    Form{RecordKind::Summary, 3, {kTypeName}, 1, 8192},
    Form{RecordKind::Symbol, 2, {kTypeName}, kMany, kManyBytes},
    Form{RecordKind::Structure, 1, {kTypeName}, kMany, kManyBytes},
    Form{RecordKind::Member, 2, {kTypeName, 2 * kTypeName}, kMany, kManyBytes},
    Form{RecordKind::Offset, 1, {kTypeName}, kMany, kManyBytes},
    Form{RecordKind::Text, 0, {kPiece}, kMany, 2 * kManyBytes},
    Form{RecordKind::Profile, 0, {kPiece}, kMany, uint64_t{64} << 20},
    Form{RecordKind::Progress, 2, {}, 64 * kMany, 8 * kManyBytes},
    Form{RecordKind::Written, 2, {kTypeName}, 1, 8192},
    Form{RecordKind::Done, 0, {}, 1, 64},
};

struct Head {
  uint32_t size = 0;  ///< of what follows
  uint8_t kind = 0;
  std::array<uint8_t, 3> reserved{};
};

constexpr size_t most_bytes_of(const Form& form) {
  size_t most = form.numbers * sizeof(uint64_t);
  for (const size_t text : form.texts)
    if (text != 0) most += sizeof(uint32_t) + text;
  return most;
}

template <typename T>
void append(std::string& bytes, const T& value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace

const Form& form_of(RecordKind kind) {
  return kForms.at(static_cast<size_t>(kind));
}

std::string encode(Record record) {
  const Form& form = form_of(record.kind);
  record.numbers.resize(form.numbers);
  std::string payload;
  for (const uint64_t number : record.numbers) append(payload, number);
  for (size_t i = 0; i < form.texts.size() && form.texts.at(i) != 0; ++i) {
    const std::string_view text = i < record.texts.size() ? record.texts[i] : std::string_view();
    const std::string_view cut = text.substr(0, form.texts.at(i));
    append(payload, static_cast<uint32_t>(cut.size()));
    payload += cut;
  }
  std::string bytes;
  append(bytes, Head{static_cast<uint32_t>(payload.size()), static_cast<uint8_t>(record.kind), {}});
  return bytes + payload;
}

Decoder::Decoder(std::span<const RecordKind> expected) {
  const auto expect = [this](RecordKind kind) {
    const Form& form = form_of(kind);
    left_.at(static_cast<size_t>(kind)) = {true, form.most, form.most_bytes};
  };
  for (const RecordKind kind : expected) expect(kind);
  expect(RecordKind::Failed);
  expect(RecordKind::Done);
}

Status Decoder::take(std::string_view bytes, const std::function<Status(Record)>& each) {
  begun_ += bytes;
  size_t at = 0;
  while (begun_.size() - at >= sizeof(Head)) {
    if (done_) return fail(Errc::Invalid, "something after the last record");
    Head head;
    std::memcpy(&head, begun_.data() + at, sizeof head);
    if (head.kind >= left_.size() || !left_.at(head.kind).expected)
      return fail(Errc::Invalid, "a record of kind {}, which was not asked for", head.kind);
    const Form& form = kForms.at(head.kind);
    Allowance& left = left_.at(head.kind);
    if (head.size > most_bytes_of(form))
      return fail(Errc::Invalid, "a record of kind {} and {} bytes", head.kind, head.size);
    if (left.records == 0 || left.bytes < head.size)
      return fail(Errc::Invalid, "too many records of kind {}", head.kind);
    if (begun_.size() - at - sizeof head < head.size) break;
    --left.records;
    left.bytes -= head.size;
    FURNACE_TRY(Record record, parse(std::string_view(begun_).substr(at + sizeof head, head.size), form));
    at += sizeof head + head.size;
    done_ = record.kind == RecordKind::Done;
    FURNACE_CHECK(each(std::move(record)));
  }
  begun_.erase(0, at);
  if (done_ && !begun_.empty()) return fail(Errc::Invalid, "something after the last record");
  return {};
}

Result<Record> Decoder::parse(std::string_view payload, const Form& form) {
  const auto malformed = [&] {
    return fail(Errc::Invalid, "a malformed record of kind {}", static_cast<unsigned>(form.kind));
  };
  Record record{form.kind, {}, {}};
  for (size_t i = 0; i < form.numbers; ++i) {
    const auto number = load<uint64_t>(as_bytes(payload), 0);
    if (!number) return malformed();
    record.numbers.push_back(*number);
    payload.remove_prefix(sizeof *number);
  }
  for (const size_t most : form.texts) {
    if (most == 0) break;
    const auto size = load<uint32_t>(as_bytes(payload), 0);
    if (!size || *size > most || *size > payload.size() - sizeof *size) return malformed();
    record.texts.emplace_back(payload.substr(sizeof *size, *size));
    payload.remove_prefix(sizeof *size + *size);
  }
  if (!payload.empty()) return malformed();
  return record;
}

}  // namespace furnace::reader
