// Whole buffers and files compressed with gzip, xz or zstd, recognized by their first bytes or their name's
// ending.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"

namespace furnace {

enum class Compression { None, Gzip, Xz, Zstd };

/// By the magic number at the start.
[[nodiscard]] Compression compression_of(std::string_view content);
/// By the ending of a file's name: .gz, .xz, .zst.
[[nodiscard]] Compression compression_for(const std::filesystem::path& file);

/// Unpacks `content` in place; leaves it as it is, if it is not compressed. Fails past `limit` bytes, so that
/// a small file can't fill the memory, and for damaged or truncated content.
[[nodiscard]] Status decompress(std::string& content, size_t limit);

[[nodiscard]] Result<std::string> compress(std::string_view content, Compression how);

}  // namespace furnace
