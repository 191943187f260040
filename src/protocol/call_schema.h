// A call's messages, by the meaning of their fields: what the server, the clients and batches know of them.
#pragma once

#include <google/protobuf/descriptor.h>

#include <vector>

#include "protocol/calls.h"

namespace furnace::protocol {

struct CallSchema {
  using Field = google::protobuf::FieldDescriptor;

  explicit CallSchema(const Call& call);

  const Field* request;                 ///< of VmiMessage
  const Field* answer;                  ///< of VmiMessage
  std::vector<const Field*> arguments;  ///< of the request, in the order of Call::arguments
  std::vector<const Field*> request_fields,
      answer_fields;  ///< in the order of their declaration, which links count in

  // Of the request, or nullptr:
  const Field* link = nullptr;
  const Field* count = nullptr;  ///< of a call that writes: the size of its buffer

  // Of the answer, or nullptr:
  const Field* status = nullptr;
  const Field* value = nullptr;   ///< what the call is for; of a call that writes there is none
  const Field* bytes = nullptr;   ///< how many were read or written
  const Field* reason = nullptr;  ///< text
  const Field* code = nullptr;    ///< kind of the error
};

/// `call` is a row of calls(). Made once, with the first call.
[[nodiscard]] const CallSchema& schema_of(const Call& call);

/// An integer or an enumeration.
[[nodiscard]] uint64_t integer(const google::protobuf::Message& message,
                               const google::protobuf::FieldDescriptor& field);

}  // namespace furnace::protocol
