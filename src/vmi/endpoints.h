// The sockets of the VMI partition: one for all that may reach its directory, and one for each app in a
// partition, in a directory that no other app sees. At its own socket an app is served only under its own
// identity, and no other app gets its events.
#pragma once

#include <unistd.h>

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "zmtp/server.h"

namespace furnace::vmi {

struct Endpoint {
  std::string app;  ///< whose it is; empty: the common one
  std::string directory;
  uint32_t owner = 0, own_user = 0;  ///< the directory's, and ours: who may connect

  /// Why a message of a peer is not served; empty: it is.
  [[nodiscard]] std::string refuses(const zmtp::Peer& peer) const;
};

class Endpoints {
 public:
  /// Binds ipc://`directory`/vmi_rtr, and `directory`/APP/vmi_rtr for each directory APP in it.
  [[nodiscard]] static Result<Endpoints> bind(zmtp::Server& sockets, const std::string& directory);

  /// The one at a place of the sockets'.
  [[nodiscard]] const Endpoint& at(size_t place) const { return all_[place]; }
  /// Readable when apps come.
  [[nodiscard]] int descriptor() const { return watch_.get(); }
  /// Binds the sockets of apps that have come.
  void take_new();

 private:
  Endpoints(zmtp::Server& sockets, std::string directory)
      : sockets_(&sockets), directory_(std::move(directory)) {}
  [[nodiscard]] Status add(const std::string& app);
  [[nodiscard]] bool is_new(const std::string& name) const;
  void take(const std::string& app);

  zmtp::Server* sockets_;
  std::string directory_;
  uint32_t user_ = ::geteuid();
  Fd lock_, watch_;
  std::vector<Endpoint> all_;  // by the numbers of their places
};

}  // namespace furnace::vmi
