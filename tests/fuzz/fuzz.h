// What every target starts from: FUZZ(NAME) { ... } is given `input`, a span of bytes. In the fuzz build a
// target is a program of its own under libFuzzer; in the sanitizer build all are in one, which replays their
// corpora.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string_view>

#ifdef FURNACE_REPLAY

using FuzzTarget = void (*)(std::span<const std::byte> input);

/// The targets of this program by their names.
std::map<std::string_view, FuzzTarget>& fuzz_targets();

#define FUZZ(name)                                                                                      \
  static void fuzz_##name(std::span<const std::byte> input);                                            \
  [[maybe_unused]] static const bool kKnows_##name = fuzz_targets().emplace(#name, fuzz_##name).second; \
  static void fuzz_##name(std::span<const std::byte> input)

#else

#define FUZZ(name)                                                          \
  static void fuzz_##name(std::span<const std::byte> input);                \
  extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { \
    fuzz_##name({reinterpret_cast<const std::byte*>(data), size});          \
    return 0;                                                               \
  }                                                                         \
  static void fuzz_##name(std::span<const std::byte> input)

#endif
