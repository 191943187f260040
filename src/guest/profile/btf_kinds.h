// The kinds of BTF's types: BTF_KIND_* (include/uapi/linux/btf.h).
#pragma once

#include <cstdint>

namespace furnace::guest::btf {

enum Kind : uint32_t {
  kInt = 1,
  kPtr,
  kArray,
  kStruct,
  kUnion,
  kEnum,
  kFwd,
  kTypedef,
  kVolatile,
  kConst,
  kRestrict,
  kFunc,
  kFuncProto,
  kVar,
  kDatasec,
  kFloat,
  kDeclTag,
  kTypeTag,
  kEnum64,
  kKinds
};

}  // namespace furnace::guest::btf
