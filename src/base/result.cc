#include "base/result.h"

#include <cerrno>
#include <system_error>

namespace furnace {

Errc errno_code(int error_number) {
  switch (error_number) {
    case EACCES:
    case EPERM:
      return Errc::Denied;
    case ENOENT:
    case ESRCH:
      return Errc::NotFound;
    case EAGAIN:
    case EBUSY:
    case ECONNREFUSED:
    case EADDRINUSE:
      return Errc::Unavailable;
    case EINVAL:
      return Errc::Invalid;
    default:
      return Errc::Failed;
  }
}

std::string errno_text(int error_number) {
  return std::generic_category().message(error_number);
}

}  // namespace furnace
