// The simulated guest's files: paths, open files, sockets.
#include <arpa/inet.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "hypervisor/simulator/world.h"

namespace furnace::hypervisor {

using guest::Gva;

namespace {

struct SocketAddress {
  uint32_t address = 0;  // network order
  uint16_t port = 0;
};

Result<SocketAddress> parse_socket_address(const std::string& text) {
  FURNACE_TRY(const Endpoint endpoint,
              parse_endpoint(fmt::format("socket address '{}'", text), text, {0, UINT16_MAX}));
  SocketAddress parsed{0, endpoint.port};
  if (::inet_pton(AF_INET, endpoint.host.c_str(), &parsed.address) != 1)
    return fail(Errc::Invalid, "socket address '{}': expected IPV4:PORT", text);
  return parsed;
}

Result<uint8_t> tcp_state(std::string_view name) {
  // include/net/tcp_states.h, from 1 on.
  constexpr std::array<std::string_view, 11> states = {"established", "syn_sent",  "syn_recv", "fin_wait1",
                                                       "fin_wait2",   "time_wait", "close",    "close_wait",
                                                       "last_ack",    "listen",    "closing"};
  const auto found = std::find(states.begin(), states.end(), name);
  if (found == states.end()) return fail(Errc::Invalid, "socket state '{}' is none of tcp's", name);
  return static_cast<uint8_t>(found - states.begin() + 1);
}

}  // namespace

Result<Gva> World::make_files(const SimulatedTask& task) {
  const size_t count = task.files.size() + task.sockets.size();
  const uint64_t slots = std::max<uint64_t>(64, (count + 63) / 64 * 64);
  FURNACE_TRY(const Gva files, make_object("files_struct"));
  FURNACE_TRY(const Gva table, make_object("fdtable"));
  FURNACE_TRY(const Gva array, allocate(slots * 8));
  FURNACE_TRY(const Gva open, allocate(slots / 8));
  set("files_struct", "count", files, 1);
  set("files_struct", "fdt", files, table.value);
  set("files_struct", "next_fd", files, count);
  set("fdtable", "max_fds", table, slots);
  set("fdtable", "fd", table, array.value);
  set("fdtable", "open_fds", table, open.value);
  for (uint64_t first = 0; first < count; first += 64)
    put(open + first / 8, count - first < 64 ? (uint64_t{1} << (count - first)) - 1 : UINT64_MAX);
  uint64_t slot = 0;
  for (const std::string& path : task.files) {
    FURNACE_TRY(const Gva file, make_file(path));
    put(array + 8 * slot++, file.value);
  }
  for (const SimulatedSocket& socket : task.sockets) {
    FURNACE_TRY(const Gva file, make_socket(socket));
    put(array + 8 * slot++, file.value);
  }
  return files;
}

Result<Gva> World::make_dentry(std::string_view name, Gva parent, uint16_t mode) {
  FURNACE_TRY(const Gva dentry, make_object("dentry"));
  FURNACE_TRY(const Gva inode, make_object("inode"));
  FURNACE_TRY(const Gva text, make_text(name));
  set("inode", "i_mode", inode, mode);
  set("inode", "i_ino", inode, dentries_.size() + 2);
  set("dentry", "d_parent", dentry, parent.value == 0 ? dentry.value : parent.value);
  set("dentry", "d_hash.pprev", dentry, dentry.value);  // not 0: it can be found
  set("dentry", "d_name.len", dentry, name.size());
  set("dentry", "d_name.name", dentry, text.value);
  set("dentry", "d_inode", dentry, inode.value);
  return dentry;
}

Result<Gva> World::dentry_of(std::string_view path) {
  if (const auto known = dentries_.find(path); known != dentries_.end()) return known->second;
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return fail(Errc::Invalid, "path '{}' is not absolute", path);
  FURNACE_TRY(const Gva parent, dentry_of(slash == 0 ? "/" : path.substr(0, slash)));
  FURNACE_TRY(const Gva made, make_dentry(path.substr(slash + 1), parent, 0100644));
  dentries_.emplace(path, made);
  return made;
}

Result<Gva> World::make_file(std::string_view path) {
  constexpr size_t longest = 4095;  // PATH_MAX; every part is a step deeper in dentry_of
  if (path.size() > longest)
    return fail(Errc::Invalid, "a path of {} characters, at most {}", path.size(), longest);
  FURNACE_TRY(const Gva dentry, dentry_of(path));
  FURNACE_TRY(const Gva file, make_object("file"));
  set("file", "f_path.dentry", file, dentry.value);
  set("file", "f_path.mnt", file, vfsmount_.value);
  set("file", "f_inode", file,
      memory_.read<uint64_t>(map_.physical(at("dentry", "d_inode", dentry))).value_or(0));
  return file;
}

Result<Gva> World::make_socket(const SimulatedSocket& description) {
  FURNACE_TRY(const SocketAddress local, parse_socket_address(description.local));
  FURNACE_TRY(const SocketAddress remote, parse_socket_address(description.remote));
  const bool tcp = description.protocol == "tcp";
  FURNACE_TRY(const uint8_t state, tcp_state(tcp ? description.state : "close"));
  FURNACE_TRY(const Gva dentry, make_dentry(tcp ? "TCP" : "UDP", Gva{}, 0140777));
  set("dentry", "d_op", dentry, socket_names_.value);
  FURNACE_TRY(const Gva file, make_object("file"));
  FURNACE_TRY(const Gva socket, make_object("socket"));
  FURNACE_TRY(const Gva sock, make_object("sock"));
  set("file", "f_path.dentry", file, dentry.value);
  set("file", "f_path.mnt", file, vfsmount_.value);
  set("file", "f_inode", file,
      memory_.read<uint64_t>(map_.physical(at("dentry", "d_inode", dentry))).value_or(0));
  set("file", "private_data", file, socket.value);
  set("socket", "type", socket, tcp ? 1 : 2);
  set("socket", "sk", socket, sock.value);
  set("socket", "file", socket, file.value);
  set("sock", "sk_type", sock, tcp ? 1 : 2);
  set("sock", "sk_protocol", sock, tcp ? 6 : 17);
  const std::initializer_list<std::pair<std::string_view, uint64_t>> members{
      {"__sk_common.skc_family", 2},
      {"__sk_common.skc_state", state},
      {"__sk_common.skc_rcv_saddr", local.address},
      {"__sk_common.skc_num", local.port},
      {"__sk_common.skc_daddr", remote.address},
      {"__sk_common.skc_dport", htons(remote.port)}};
  for (const auto& [member, value] : members) set("sock", member, sock, value);
  return file;
}

}  // namespace furnace::hypervisor
