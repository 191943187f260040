// Finding instructions in a kernel's text.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "guest/address_space.h"

namespace furnace::guest {

/// Addresses after the instructions within `size` bytes of `from` that store to %gs:`offset`.
[[nodiscard]] std::vector<Gva> behind_stores_to_gs(const AddressSpace& space, Gva from, size_t size,
                                                   uint64_t offset);

/// Addresses of the instructions within `size` bytes of `from` that load CR3 from a register.
[[nodiscard]] std::vector<Gva> loads_of_cr3(const AddressSpace& space, Gva from, size_t size);

/// Which register the instruction at `at` loads CR3 from; empty if it is no such instruction.
[[nodiscard]] std::string cr3_source(const AddressSpace& space, Gva at);

/// The address after the instruction within `size` bytes of `from` that stores the answer of `called` to the
/// user's saved registers; none: there is none.
[[nodiscard]] std::optional<Gva> behind_store_of_answer(const AddressSpace& space, Gva from, size_t size,
                                                        Gva called);

/// Which register points to the user's saved registers at such an address; empty: it is none.
[[nodiscard]] std::string saved_registers_at(const AddressSpace& space, Gva at);

}  // namespace furnace::guest
