#include "app/batch_message.h"

#include <algorithm>
#include <array>
#include <map>

namespace furnace::app {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using protocol::BatchError;
using protocol::Call;

const FieldDescriptor& field_numbered(int number) {
  return *wire::VmiMessage::descriptor()->FindFieldByNumber(number);
}

std::string field_names(const Descriptor& type) {
  std::string names;
  for (int i = 0; i < type.field_count(); ++i) names += (i == 0 ? "" : ", ") + type.field(i)->name();
  return names;
}

Result<uint32_t> index_of(const Call& call, const Descriptor& type, std::string_view what,
                          std::string_view field) {
  const auto* found = type.FindFieldByName(std::string(field));
  if (found == nullptr)
    return fail(Errc::NotFound, "{}: its {} has no field '{}', but {}", call.name, what, field,
                field_names(type));
  return static_cast<uint32_t>(found->index());
}

/// Why a message was not executed, or not whole.
struct Refusal {
  BatchError number;
  Errc kind;
  std::string_view meaning;
};
constexpr std::array kRefusals{
    Refusal{BatchError::ForwardReference, Errc::Invalid, "its link refers to itself or to a later call"},
    Refusal{BatchError::PreviousMessageRange, Errc::Invalid,
            "its link refers to a call that the message does not have"},
    Refusal{BatchError::PreviousItemRange, Errc::Invalid,
            "its link refers to a field that the earlier answer does not have"},
    Refusal{BatchError::SourceNotInteger, Errc::Invalid, "its link takes a field that is not a whole number"},
    Refusal{BatchError::TargetItemRange, Errc::Invalid,
            "its link sets a field that the request does not have"},
    Refusal{BatchError::TargetNotInteger, Errc::Invalid, "its link sets a field that is not a whole number"},
    Refusal{BatchError::NegativeResult, Errc::Invalid, "its link subtracts more than there is"},
    Refusal{BatchError::BadOperator, Errc::Invalid, "its link has no valid operator"},
    Refusal{BatchError::Malformed, Errc::Invalid, "the VMI partition could not read the message"},
    Refusal{BatchError::CallCount, Errc::Invalid, "a message holds 1 to 1000 calls"},
    Refusal{BatchError::EventLimit, Errc::Busy, "too many events are registered"},
    Refusal{BatchError::Outstanding, Errc::Busy, "too many messages of this app wait already"},
    Refusal{BatchError::Identity, Errc::Denied, "this is not the socket of that app"},
    Refusal{BatchError::TooMuch, Errc::Invalid,
            "the message holds more than one may: send its calls in several messages"},
};

const Refusal& refusal(int32_t error) {
  static constexpr Refusal unknown{{}, Errc::Failed, "it could not be executed"};
  const auto* const found = std::find_if(kRefusals.begin(), kRefusals.end(), [&](const Refusal& each) {
    return static_cast<int32_t>(each.number) == error;
  });
  return found != kRefusals.end() ? *found : unknown;
}

}  // namespace

std::string_view meaning_of_refusal(int32_t error) {
  return refusal(error).meaning;
}

Errc kind_of_refusal(int32_t error) {
  return refusal(error).kind;
}

Result<const Call*> call_named(std::string_view name) {
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  const Call* call = protocol::find_call(std::string_view(lower));
  if (call == nullptr) return fail(Errc::NotFound, "no call '{}'", name);
  return call;
}

Result<uint32_t> answer_field(const Call& call, std::string_view field) {
  return index_of(call, *field_numbered(call.answer_number()).message_type(), "answer", field);
}

Result<uint32_t> request_field(const Call& call, std::string_view field) {
  return index_of(call, *field_numbered(call.number).message_type(), "request", field);
}

Status add_call(wire::VmiMessage& message, const Call& call, std::span<const NamedArgument> arguments,
                const std::optional<Link>& link) {
  const FieldDescriptor& field = field_numbered(call.number);
  const auto& reflection = *message.GetReflection();
  if (!field.is_repeated() && reflection.HasField(message, &field))
    return fail(Errc::Invalid, "{}: can occur only once in a message", call.name);
  Message& request = field.is_repeated() ? *reflection.AddMessage(&message, &field)
                                         : *reflection.MutableMessage(&message, &field);
  message.add_type(call.number);
  for (const NamedArgument& argument : arguments) {
    FURNACE_TRY(const uint32_t index, request_field(call, argument.field));
    if (auto set =
            set_argument(request, *field.message_type()->field(static_cast<int>(index)), argument.value);
        !set)
      return fail(set.error(), call.name);
  }
  if (!link) return {};
  const auto* place = field.message_type()->FindFieldByName("link");
  if (place == nullptr) return fail(Errc::Invalid, "{}: takes no link", call.name);
  auto& added = dynamic_cast<wire::Linkage&>(*request.GetReflection()->MutableMessage(&request, place));
  added.set_prev_msg_ix(link->call);
  added.set_prev_item_ix(link->source);
  added.set_cur_item_ix(link->target);
  if (!wire::Linkage::OperatorType_IsValid(link->operation))
    return fail(Errc::Invalid, "{}: link operator {}: expected F_ADD 1, F_SUB 2 or F_OVERWRITE 3", call.name,
                link->operation);
  added.set_operator_(static_cast<wire::Linkage::OperatorType>(link->operation));
  return {};
}

Result<std::vector<CallAnswer>> split_answer(const wire::VmiMessage& answer) {
  std::vector<CallAnswer> parts;
  std::map<int32_t, int> seen;
  const auto& reflection = *answer.GetReflection();
  for (const int32_t type : answer.type()) {
    const Call* call = protocol::find_call(type);
    if (call == nullptr || call->answer_number() != type) call = protocol::find_call(type - 1);
    const int index = seen[type]++;
    if (call == nullptr) return fail(Errc::Invalid, "an answer of type {}, which no call has", type);
    const FieldDescriptor& field = field_numbered(type);
    const int size =
        field.is_repeated() ? reflection.FieldSize(answer, &field) : reflection.HasField(answer, &field);
    if (index >= size) return fail(Errc::Invalid, "{}: an answer without content", call->name);
    parts.push_back({call, field.is_repeated() ? &reflection.GetRepeatedMessage(answer, &field, index)
                                               : &reflection.GetMessage(answer, &field)});
  }
  return parts;
}

std::optional<Error> batch_failure(const wire::VmiMessage& request, const wire::VmiMessage& answer) {
  if (!answer.error()) return std::nullopt;
  const int executed = answer.type_size();
  const Call* call = executed < request.type_size() ? protocol::find_call(request.type(executed)) : nullptr;
  const Refusal& why = refusal(answer.error_num());
  if (call == nullptr) return Error(why.kind, fmt::format("error {}: {}", answer.error_num(), why.meaning));
  return Error(why.kind, fmt::format("call {} ({}): {} (error {} at {})", executed, call->name, why.meaning,
                                     answer.error_num(), answer.error_loc()));
}

}  // namespace furnace::app
