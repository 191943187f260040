#include "facilities/calls.h"

#include "base/bytes.h"
#include "base/log.h"
#include "protocol/error_code.h"

namespace furnace::facilities {
namespace {

/// The k-th element of a repeated field, or an empty one: what an absent argument means fails by itself.
template <typename T>
const T& element(const google::protobuf::RepeatedPtrField<T>& field, int index) {
  return index < field.size() ? field.Get(index) : T::default_instance();
}

template <typename Answer>
void conclude(Answer& answer, const Status& status, const char* call) {
  answer.set_result(status ? 0 : 1);
  if (status) return;
  answer.set_reason(valid_utf8(status.error().message()));
  answer.set_code(protocol::code_of(status.error().code()));
  log::debug("{}: {}", call, status.error().message());
}

void get(Storage& storage, const std::string& key, FacMessage& answer) {
  answer.add_type(FacMessage::GET_RET);
  auto& result = *answer.add_get_ret();
  result.set_key(key);
  auto value = storage.get(key);
  conclude(result, value ? Status() : tl::unexpected(value.error()), "get");
  result.set_value(value ? *std::move(value) : std::string());
}

bool set(Storage& storage, const Set& request, FacMessage& answer) {
  answer.add_type(FacMessage::SET_RET);
  auto& result = *answer.add_set_ret();
  result.set_key(request.key());
  const Status stored = storage.set(request.key(), request.value());
  conclude(result, stored, "set");
  return stored.has_value();
}

void list(Storage& storage, FacMessage& answer) {
  answer.add_type(FacMessage::LIST_RET);
  auto& result = *answer.add_list_ret();
  const auto entries = storage.list();
  conclude(result, entries ? Status() : tl::unexpected(entries.error()), "list");
  result.set_used(storage.used());
  result.set_quota(storage.quota());
  if (!entries) return;
  for (const auto& [key, size] : *entries) {
    auto& stored = *result.add_stored();
    stored.set_key(key);
    stored.set_size(size);
  }
}

void remove(Storage& storage, const std::string& key, FacMessage& answer) {
  answer.add_type(FacMessage::REMOVE_RET);
  auto& result = *answer.add_remove_ret();
  result.set_key(key);
  conclude(result, storage.remove(key), "remove");
}

}  // namespace

FacMessage failed_request(const Error& error) {
  FacMessage message;
  message.add_type(FacMessage::BE_MSG_RET);
  auto& body = *message.add_be_msg_ret();
  body.set_status(1);
  body.set_value(error.message());
  body.set_code(protocol::code_of(error.code()));
  return message;
}

FacMessage execute(Storage& storage, const FacMessage& request, Counters& counters) {
  // Within what a message may hold: answers are larger than their calls.
  constexpr int max_calls = 10'000;
  if (request.type_size() == 0) return failed_request({Errc::Invalid, "no request in the message"});
  if (request.type_size() > max_calls)
    return failed_request(
        {Errc::Invalid, fmt::format("{} calls in one message: at most {}", request.type_size(), max_calls)});
  FacMessage answer;
  int gets = 0, sets = 0, removes = 0;
  size_t values = 0;
  for (const int type : request.type()) {
    switch (type) {
      case FacMessage::GET:
        ++counters.gets;
        get(storage, element(request.get(), gets++).key(), answer);
        values += answer.get_ret(answer.get_ret_size() - 1).value().size();
        break;
      case FacMessage::SET:
        ++counters.sets;
        if (!set(storage, element(request.set(), sets++), answer)) ++counters.failed_sets;
        break;
      case FacMessage::LIST:
        list(storage, answer);
        break;
      case FacMessage::REMOVE:
        remove(storage, element(request.remove(), removes++).key(), answer);
        break;
      default: {
        // A request to the backend is the only call of its message.
        answer.add_type(FacMessage::BE_MSG_RET);
        auto& result = *answer.add_be_msg_ret();
        result.set_status(1);
        result.set_value("a request to the backend must be the only one in its message");
        result.set_code(protocol::code_of(Errc::Invalid));
      }
    }
    constexpr size_t max_answer = 32 << 20;
    if (values > max_answer)
      return failed_request(
          {Errc::Invalid,
           fmt::format("the values that are asked for are more than {} bytes: ask for fewer in one message",
                       max_answer)});
  }
  return answer;
}

}  // namespace furnace::facilities
