#include "launch/kind.h"

namespace furnace::launch {

std::array<const Kind*, 3> kinds() {
  return {&vmi_kind(), &app_kind(), &fac_kind()};
}

}  // namespace furnace::launch
