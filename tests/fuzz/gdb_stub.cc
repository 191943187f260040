// What comes from a gdb stub, and code out of a guest.
#include "base/bytes.h"
#include "fuzz.h"
#include "hypervisor/instruction.h"
#include "hypervisor/qemu/stub.h"

FUZZ(gdb_stub) {
  using namespace furnace::hypervisor;
  const std::string_view text = furnace::as_text(input);
  GdbPacketReader reader;
  if (reader.append(text))
    while (auto packet = reader.next()) (void)parse_stop(*packet);
  (void)parse_stop(text);
  Registers registers;
  registers.set(Reg::Rax, 0x1000);
  registers.set(Reg::Rsp, 0x2000);
  // The description, a line that ends it, and an answer to `g`.
  const size_t end = text.find("\n\n");
  if (const auto layout = RegisterLayout::parse(text.substr(0, end)); layout && end != std::string_view::npos)
    if (auto decoded = layout->decode(text.substr(end + 2))) registers = *std::move(decoded);
  static const Disassembler disassembler;
  for (const bool ran : {false, true}) (void)disassembler.decode(input, 0x1000, registers, ran);
}
