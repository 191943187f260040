// The profiles that a reader may use: those that its command has opened for it. A new one is reported, and
// the command decides whether it is stored.
#pragma once

#include <vector>

#include "base/fd.h"
#include "guest/profile/locate.h"
#include "reader/report.h"

namespace furnace::reader {

class LentProfiles : public guest::ProfileCache {
 public:
  LentProfiles(const std::vector<int>& files, Report& report);

  [[nodiscard]] std::shared_ptr<const guest::Profile> find(
      const std::function<bool(const guest::ProfileSummary&)>& matches) override;
  void store(const guest::Profile& profile) override;

 private:
  std::vector<Fd> files_;
  Report& report_;
};

}  // namespace furnace::reader
