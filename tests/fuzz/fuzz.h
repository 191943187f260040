// What every target starts from: libFuzzer's entry point over a span.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

void fuzz(std::span<const std::byte> input);

#ifndef FURNACE_REPLAY
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
#endif
