#include "base/compression.h"

#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>

namespace furnace {
namespace {

constexpr size_t kPiece = 1 << 20;

tl::unexpected<Error> too_large(size_t limit) {
  return fail(Errc::Invalid, "more than {} MB when decompressed", limit >> 20);
}
tl::unexpected<Error> damaged(std::string_view format) {
  return fail(Errc::Invalid, "{}: damaged or truncated", format);
}

/// Makes room for the next piece of output, of at most `limit` bytes in all: where it begins.
uint8_t* grow(std::string& out, size_t used, size_t limit) {
  const size_t twice = 2 * out.size();
  if (out.size() < used + kPiece) out.resize(std::max(twice < limit ? twice : limit + kPiece, used + kPiece));
  return reinterpret_cast<uint8_t*>(out.data()) + used;
}

Result<std::string> gunzip(std::string_view content, size_t limit) {
  z_stream stream{};
  constexpr int gzip_window = 15 + 16;
  if (inflateInit2(&stream, gzip_window) != Z_OK) return fail(Errc::Failed, "zlib: no memory");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> end(&stream, inflateEnd);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  std::string out;
  size_t used = 0;
  int status = Z_OK;
  while (status != Z_STREAM_END) {
    stream.next_out = grow(out, used, limit);
    stream.avail_out = kPiece;
    status = inflate(&stream, Z_NO_FLUSH);
    if (status != Z_OK && status != Z_STREAM_END) return damaged("gzip");
    used += kPiece - stream.avail_out;
    if (used > limit) return too_large(limit);
  }
  out.resize(used);
  return out;
}

Result<std::string> unxz(std::string_view content, size_t limit) {
  lzma_stream stream = LZMA_STREAM_INIT;
  constexpr uint64_t memory = 256 << 20;
  if (lzma_stream_decoder(&stream, memory, LZMA_CONCATENATED) != LZMA_OK)
    return fail(Errc::Failed, "xz: no memory");
  const std::unique_ptr<lzma_stream, void (*)(lzma_stream*)> end(&stream, lzma_end);
  stream.next_in = reinterpret_cast<const uint8_t*>(content.data());
  stream.avail_in = content.size();
  std::string out;
  size_t used = 0;
  lzma_ret status = LZMA_OK;
  while (status != LZMA_STREAM_END) {
    stream.next_out = grow(out, used, limit);
    stream.avail_out = kPiece;
    status = lzma_code(&stream, LZMA_FINISH);
    if (status != LZMA_OK && status != LZMA_STREAM_END) return damaged("xz");
    used += kPiece - stream.avail_out;
    if (used > limit) return too_large(limit);
  }
  out.resize(used);
  return out;
}

Result<std::string> unzstd(std::string_view content, size_t limit) {
  const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  ZSTD_inBuffer in{content.data(), content.size(), 0};
  std::string out;
  size_t used = 0;
  size_t left = 1;
  while (left != 0 || in.pos < in.size) {
    ZSTD_outBuffer piece{grow(out, used, limit), kPiece, 0};
    const size_t before = in.pos;
    left = ZSTD_decompressStream(context.get(), &piece, &in);
    if (ZSTD_isError(left) != 0 || (left != 0 && piece.pos == 0 && in.pos == before)) return damaged("zstd");
    used += piece.pos;
    if (used > limit) return too_large(limit);
  }
  out.resize(used);
  return out;
}

Result<std::string> gzip(std::string_view content) {
  z_stream stream{};
  constexpr int gzip_window = 15 + 16;
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, gzip_window, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    return fail(Errc::Failed, "zlib: no memory");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> end(&stream, deflateEnd);
  std::string out(deflateBound(&stream, content.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) return fail(Errc::Failed, "gzip failed");
  out.resize(stream.total_out);
  return out;
}

Result<std::string> xz(std::string_view content) {
  std::string out(lzma_stream_buffer_bound(content.size()), '\0');
  size_t used = 0;
  if (lzma_easy_buffer_encode(LZMA_PRESET_DEFAULT, LZMA_CHECK_CRC64, nullptr,
                              reinterpret_cast<const uint8_t*>(content.data()), content.size(),
                              reinterpret_cast<uint8_t*>(out.data()), &used, out.size()) != LZMA_OK)
    return fail(Errc::Failed, "xz failed");
  out.resize(used);
  return out;
}

Result<std::string> zstd(std::string_view content) {
  std::string out(ZSTD_compressBound(content.size()), '\0');
  const size_t used =
      ZSTD_compress(out.data(), out.size(), content.data(), content.size(), ZSTD_CLEVEL_DEFAULT);
  if (ZSTD_isError(used) != 0) return fail(Errc::Failed, "zstd: {}", ZSTD_getErrorName(used));
  out.resize(used);
  return out;
}

}  // namespace

Compression compression_of(std::string_view content) {
  using namespace std::string_view_literals;
  if (content.starts_with("\x1f\x8b"sv)) return Compression::Gzip;
  if (content.starts_with("\xfd"
                          "7zXZ\0"sv))
    return Compression::Xz;
  if (content.starts_with("\x28\xb5\x2f\xfd"sv)) return Compression::Zstd;
  return Compression::None;
}

Compression compression_for(const std::filesystem::path& file) {
  const std::string ending = file.extension();
  if (ending == ".gz") return Compression::Gzip;
  if (ending == ".xz") return Compression::Xz;
  if (ending == ".zst") return Compression::Zstd;
  return Compression::None;
}

Status decompress(std::string& content, size_t limit) {
  switch (compression_of(content)) {
    case Compression::Gzip: {
      FURNACE_TRY(content, gunzip(content, limit));
      break;
    }
    case Compression::Xz: {
      FURNACE_TRY(content, unxz(content, limit));
      break;
    }
    case Compression::Zstd: {
      FURNACE_TRY(content, unzstd(content, limit));
      break;
    }
    case Compression::None:
      break;
  }
  if (content.size() > limit) return too_large(limit);
  return {};
}

Result<std::string> compress(std::string_view content, Compression how) {
  switch (how) {
    case Compression::Gzip:
      return gzip(content);
    case Compression::Xz:
      return xz(content);
    case Compression::Zstd:
      return zstd(content);
    case Compression::None:
      break;
  }
  return std::string(content);
}

}  // namespace furnace
