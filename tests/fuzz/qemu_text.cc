#include "base/bytes.h"
#include "fuzz.h"
#include "hypervisor/qemu/guest_ram.h"
#include "hypervisor/qemu/host.h"
#include "hypervisor/qemu/process.h"
#include "hypervisor/qemu/qmp_messages.h"

// What the monitor of a QEMU prints, and the words of its command line.
FUZZ(qemu_text) {
  const std::string text(furnace::as_text(input));
  (void)furnace::hypervisor::parse_flat_view(text, {"mem"});
  (void)furnace::hypervisor::parse_registers(text);
  furnace::hypervisor::QmpMessages messages;
  for (size_t at = 0; at < text.size(); at += 64) {
    messages.append(std::string_view(text).substr(at, 64));
    while (messages.take()) {
    }
  }
  std::vector<std::string> words{"qemu-system-x86_64"};
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find('\0', start), text.size());
    words.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  (void)furnace::hypervisor::parse_qemu_command_line(1, words);
}
