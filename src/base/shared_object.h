// A tenant's class out of a shared object.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "base/result.h"

namespace furnace {

/// What -c names: FILE.so, if it ends so, or if there is a FILE.so and no FILE.py; nullopt: Python.
[[nodiscard]] std::optional<std::filesystem::path> shared_object_for(const std::string& file_without_suffix);

/// A shared object that is open as long as this lives.
class SharedObject {
 public:
  [[nodiscard]] static Result<SharedObject> open(const std::filesystem::path& file);
  SharedObject(SharedObject&& other) noexcept;
  SharedObject& operator=(SharedObject&&) = delete;
  ~SharedObject();

  /// The function that makes the tenant's class: symbol NAME_make, if NAME_abi is `abi`. The error says what
  /// lacks.
  template <typename Function>
  [[nodiscard]] Result<Function*> maker(const std::string& name, uint32_t abi) const {
    FURNACE_TRY(void* function, find_maker(name, abi));
    return reinterpret_cast<Function*>(function);
  }

 private:
  SharedObject(void* handle, std::string file) : handle_(handle), file_(std::move(file)) {}
  [[nodiscard]] Result<void*> find_maker(const std::string& name, uint32_t abi) const;
  void* handle_;
  std::string file_;
};

}  // namespace furnace
