#include "hypervisor/qemu/socket_holder.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <map>
#include <vector>

#include "base/fd.h"
#include "base/file.h"
#include "base/printable.h"
#include "base/text.h"

namespace furnace::hypervisor {
namespace {

namespace fs = std::filesystem;

/// What the kernel reports about a connected UNIX socket.
struct Connected {
  std::string name;   ///< the path of the listener that it was accepted from
  uint32_t peer = 0;  ///< inode of the other end
};

Connected read_attributes(const nlmsghdr& header, const unix_diag_msg& message) {
  Connected socket;
  size_t left = header.nlmsg_len - NLMSG_LENGTH(sizeof message);
  const auto* attribute = reinterpret_cast<const rtattr*>(&message + 1);  // NOLINT: netlink's form
  for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
    const auto* data = static_cast<const char*>(RTA_DATA(attribute));
    const size_t size = RTA_PAYLOAD(attribute);
    if (attribute->rta_type == UNIX_DIAG_NAME) socket.name.assign(data, ::strnlen(data, size));
    if (attribute->rta_type == UNIX_DIAG_PEER && size >= sizeof socket.peer)
      std::memcpy(&socket.peer, data, sizeof socket.peer);
  }
  return socket;
}

/// Returns the inode of the socket that is connected with one accepted at `path`. Connections that wait to be
/// accepted have no name yet.
std::optional<uint32_t> accepted_peer(const fs::path& path) {
  const Fd netlink(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  struct {
    nlmsghdr header;
    unix_diag_req request;
  } ask{};
  ask.header.nlmsg_len = sizeof ask;
  ask.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  ask.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  ask.request.sdiag_family = AF_UNIX;
  ask.request.udiag_states = 1U << TCP_ESTABLISHED;
  ask.request.udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER;
  if (!netlink.valid() || ::send(netlink.get(), &ask, sizeof ask, 0) < 0) return std::nullopt;
  alignas(nlmsghdr) std::array<char, 32768> answer;  // NOLINT: is filled
  for (ssize_t got = 0; (got = ::recv(netlink.get(), answer.data(), answer.size(), 0)) > 0;) {
    auto left = static_cast<size_t>(got);
    const auto* header = reinterpret_cast<const nlmsghdr*>(answer.data());  // NOLINT: netlink's form
    for (; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY) return std::nullopt;  // the end, or an error
      if (header->nlmsg_len < NLMSG_LENGTH(sizeof(unix_diag_msg))) continue;
      const auto& message = *static_cast<const unix_diag_msg*>(NLMSG_DATA(header));
      const Connected socket = read_attributes(*header, message);
      if (socket.peer != 0 && socket.name == path.native()) return socket.peer;
    }
  }
  return std::nullopt;
}

/// Returns true if the process has the socket of this inode open.
bool has_socket(const fs::path& process, const std::string& link) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(process / "fd", ignored))
    if (fs::read_symlink(entry.path(), ignored) == link) return true;
  return false;
}

std::optional<pid_t> parent_of(pid_t pid) {
  const auto text = read_file(fmt::format("/proc/{}/status", pid), 4096);
  const size_t at = text ? text->find("\nPPid:") : std::string::npos;
  pid_t parent = 0;
  if (at == std::string::npos || std::sscanf(text->c_str() + at, "\nPPid: %d", &parent) != 1 || parent <= 1)
    return std::nullopt;
  return parent;
}

}  // namespace

bool SocketHolder::is_brief() const {
  return name == "furnace-guard" || name == "furnace";
}

std::string SocketHolder::text() const {
  if (pid == 0) return "another client";
  std::string shown = name;
  if (shown.starts_with("furnace-")) shown[7] = ' ';
  return fmt::format("{}, pid {}", shown, pid);
}

std::optional<SocketHolder> holder_of(const fs::path& path) {
  const auto inode = accepted_peer(path);
  if (!inode) return std::nullopt;
  const std::string link = fmt::format("socket:[{}]", *inode);
  SocketHolder holder;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
    const auto pid = parse_number<pid_t>(entry.path().filename().native());
    if (!pid) continue;
    if (!has_socket(entry.path(), link)) continue;
    const auto name = read_file(entry.path() / "comm", 64);
    if (!name) continue;
    // A launcher and its partition may both have it: the partition is whom the user knows.
    if (holder.pid == 0 || name->starts_with("furnace-vmi"))
      holder = {*pid, printable(std::string_view(*name).substr(0, name->find('\n')))};
  }
  // The user knows the launcher whose broker it is.
  if (holder.name == "furnace-broker") holder = {parent_of(holder.pid).value_or(holder.pid), "furnace-vmi"};
  return holder;
}

}  // namespace furnace::hypervisor
