#include "zmtp/decoder.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"

namespace furnace::zmtp {
namespace {

std::string_view take_front(std::span<const std::byte>& input, size_t most) {
  const auto front = input.first(std::min(most, input.size()));
  input = input.subspan(front.size());
  return as_text(front);
}

}  // namespace

Result<Decoder::Step> Decoder::read(std::span<const std::byte>& input) {
  while (true) {
    switch (state_) {
      case State::Greeting:
        return read_greeting(input);
      case State::Header: {
        FURNACE_TRY(const bool is_whole, read_header(input));
        if (!is_whole) return Step::More;
        FURNACE_CHECK(begin_frame());
        break;
      }
      case State::Asking:
        if (wanted() > allowed_) return Step::Room;
        begin_part();
        break;
      case State::Part: {
        const auto rest = rest_of_part();
        const std::string_view front = take_front(input, rest.size());
        if (!front.empty()) std::memcpy(rest.data(), front.data(), front.size());
        if (const Step step = put(front.size()); step == Step::Message || state_ == State::Part) return step;
        break;
      }
      case State::Skipping:
        if (const Step step = skip(input); step == Step::Message || state_ == State::Skipping) return step;
        break;
      case State::Command:
        return read_command(input);
    }
  }
}

Result<Decoder::Step> Decoder::read_greeting(std::span<const std::byte>& input) {
  head_ += take_front(input, kGreetingSize - head_.size());
  FURNACE_CHECK(check_greeting(as_bytes(head_)));
  if (head_.size() < kGreetingSize) return Step::More;
  head_.clear();
  state_ = State::Header;
  return Step::Greeting;
}

Result<bool> Decoder::read_header(std::span<const std::byte>& input) {
  if (head_.empty()) {  // mostly it comes whole
    FURNACE_TRY(const auto whole, parse_header(input));
    if (whole) {
      header_ = *whole;
      input = input.subspan(header_.length);
      return true;
    }
  }
  while (!input.empty()) {
    head_ += take_front(input, 1);
    FURNACE_TRY(const auto whole, parse_header(as_bytes(head_)));
    if (!whole) continue;
    header_ = *whole;
    head_.clear();
    return true;
  }
  return false;
}

Status Decoder::begin_frame() {
  got_ = 0;
  if (header_.command) {
    if (header_.size > limits_.command)
      return fail(Errc::Invalid, "sends a command of {} bytes: at most {}", header_.size, limits_.command);
    command_.clear();
    state_ = State::Command;
    return {};
  }
  if (header_.size > limits_.message || message_bytes_ + header_.size > limits_.message)
    return fail(Errc::Invalid, "sends a message of {} bytes or more: at most {}",
                header_.size > limits_.message ? header_.size : message_bytes_ + header_.size,
                limits_.message);
  if (parts_ == limits_.parts) return fail(Errc::Invalid, "sends a message of more than {} parts", parts_);
  state_ = parts_ < limits_.parts_kept ? State::Asking : State::Skipping;
  return {};
}

void Decoder::begin_part() {
  message_.parts.emplace_back(static_cast<size_t>(header_.size));
  state_ = State::Part;
}

std::span<std::byte> Decoder::rest_of_part() {
  return state_ == State::Part ? message_.parts.back().bytes().subspan(got_) : std::span<std::byte>();
}

Decoder::Step Decoder::put(size_t bytes) {
  got_ += bytes;
  return got_ == header_.size ? end_part() : Step::More;
}

Decoder::Step Decoder::end_part() {
  message_bytes_ += header_.size;
  ++parts_;
  state_ = State::Header;
  return header_.more ? Step::More : Step::Message;
}

Decoder::Step Decoder::skip(std::span<const std::byte>& input) {
  got_ += take_front(input, header_.size - got_).size();
  if (got_ != header_.size) return Step::More;
  ++message_.left_out;
  return end_part();
}

Decoder::Step Decoder::read_command(std::span<const std::byte>& input) {
  command_ += take_front(input, header_.size - command_.size());
  if (command_.size() != header_.size) return Step::More;
  state_ = State::Header;
  return Step::Command;
}

Message Decoder::take() {
  message_bytes_ = parts_ = allowed_ = 0;
  return std::exchange(message_, {});
}

}  // namespace furnace::zmtp
