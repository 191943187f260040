#include "hypervisor/vm_file.h"

#include <filesystem>

namespace furnace::hypervisor {

bool is_file_name(const std::string& name) {
  std::error_code ignored;
  return name.find('/') != std::string::npos || std::filesystem::is_regular_file(name, ignored);
}

Status find_vm_file(const std::string& name) {
  std::error_code ignored;
  if (std::filesystem::is_regular_file(name, ignored)) return {};
  return fail(Errc::NotFound, "VM '{}' does not exist: there is no such file", name);
}

}  // namespace furnace::hypervisor
