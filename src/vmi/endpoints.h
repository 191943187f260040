// The sockets of the VMI partition: one for whoever may reach its directory, and one for each app in a
// partition, in a directory that no other app sees. At its own socket an app is served under its own identity
// alone, and nobody else can be told its events.
#pragma once

#include <unistd.h>

#include <memory>
#include <set>
#include <string>
#include <vector>
#include <zmq.hpp>

#include "base/fd.h"
#include "base/result.h"

namespace furnace::vmi {

struct Endpoint {
  /// Ends the monitor: what ZeroMQ 4.3.4 tells one that is gone is memory lost, or a wait for ever.
  ~Endpoint();

  std::string app;  ///< whose it is; empty: the common one
  std::string directory;
  uint32_t owner = 0, own_user = 0;  ///< the directory's, and ours: who may connect
  zmq::socket_t monitor, router;
  std::set<int> connections = {};  ///< that stand, by ZeroMQ's descriptors

  /// Why a message of `identity` over the connection `descriptor` is not served; empty: it is.
  [[nodiscard]] std::string refuses(std::string_view identity, int descriptor) const;
};

class Endpoints {
 public:
  /// Binds ipc://`directory`/vmi_rtr, and `directory`/APP/vmi_rtr for each directory APP in it.
  [[nodiscard]] static Result<Endpoints> bind(zmq::context_t& context, const std::string& directory);

  [[nodiscard]] const std::vector<std::unique_ptr<Endpoint>>& all() const { return all_; }
  /// Readable when apps come.
  [[nodiscard]] int descriptor() const { return watch_.get(); }
  /// Binds the sockets of apps that have come. True if there are any.
  bool take_new();

 private:
  Endpoints(zmq::context_t& context, std::string directory)
      : context_(&context), directory_(std::move(directory)) {}
  [[nodiscard]] Status add(const std::string& app);
  [[nodiscard]] bool is_new(const std::string& name) const;
  bool take(const std::string& app);

  zmq::context_t* context_;
  std::string directory_;
  uint32_t user_ = ::geteuid();
  Fd lock_, watch_;
  std::vector<std::unique_ptr<Endpoint>> all_;
};

}  // namespace furnace::vmi
