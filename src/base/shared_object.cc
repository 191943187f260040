#include "base/shared_object.h"

#include <dlfcn.h>

#include <utility>

namespace furnace {

std::optional<std::filesystem::path> shared_object_for(const std::string& file) {
  std::error_code ignored;
  if (file.ends_with(".so")) return file;
  if (std::filesystem::exists(file + ".py", ignored) || !std::filesystem::exists(file + ".so", ignored))
    return std::nullopt;
  return file + ".so";
}

Result<SharedObject> SharedObject::open(const std::filesystem::path& file) {
  void* handle = ::dlopen(std::filesystem::absolute(file).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return fail(Errc::Invalid, "{}", ::dlerror());  // names the file
  return SharedObject(handle, file.string());
}

SharedObject::SharedObject(SharedObject&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)), file_(std::move(other.file_)) {}

SharedObject::~SharedObject() {
  if (handle_ != nullptr) ::dlclose(handle_);
}

Result<void*> SharedObject::find_maker(const std::string& name, uint32_t abi) const {
  const auto* built_for = static_cast<const uint32_t*>(::dlsym(handle_, (name + "_abi").c_str()));
  void* maker = ::dlsym(handle_, (name + "_make").c_str());
  if (built_for == nullptr || maker == nullptr)
    return fail(Errc::Invalid, "{}: exports no {}_make (its last line is a macro of the API's header)", file_,
                name);
  if (*built_for != abi)
    return fail(Errc::Invalid, "{}: built for version {} of the API, this is {}: build it again", file_,
                *built_for, abi);
  return maker;
}

}  // namespace furnace
