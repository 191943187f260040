// What several rooms' tests use.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <thread>

#include "base/result.h"

namespace furnace::test {

/// A directory that goes with its owner; its path is short enough for sockets.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = "/tmp/furnace-test-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// An address of this host that no other test listens at: tests run side by side, and the kernel gives ports
/// of 127.0.0.1 to whoever connects.
inline std::string own_loopback() {
  const auto pid = static_cast<unsigned>(::getpid());  // less than 2^22 (proc(5), pid_max)
  return "127." + std::to_string(64 + (pid >> 16)) + "." + std::to_string(pid >> 8 & 0xff) + "." +
         std::to_string(pid & 0xff);
}

/// Runs a server's loop on a thread until it goes out of scope.
class Background {
 public:
  /// `run` gets a descriptor that becomes readable when it should end.
  explicit Background(const std::function<void(int)>& run) {
    if (::pipe(ends_) != 0) throw std::runtime_error("pipe");
    thread_ = std::thread([run, this] { run(ends_[0]); });
  }
  ~Background() {
    [[maybe_unused]] const auto written = ::write(ends_[1], "", 1);
    thread_.join();
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

 private:
  int ends_[2] = {};
  std::thread thread_;
};

/// The value of a Result, or a test failure with its error.
template <typename T>
T take(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message());
  return *std::move(result);
}

template <typename R>
std::string message_of(const R& result) {
  return result ? std::string("no error") : result.error().message();
}

}  // namespace furnace::test
