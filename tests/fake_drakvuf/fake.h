// A DRAKVUF made of the simulator: what tests do with it. Its loop runs in a thread of its own, as DRAKVUF's
// is the only one that calls a plugin.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "hypervisor/hypervisor.h"

struct drakvuf_trap_t;
class plugin;

/// What plugins hold; libdrakvuf's name for it.
struct drakvuf {
 public:
  drakvuf(furnace::hypervisor::Hypervisor& guest, std::string profile);
  ~drakvuf();
  drakvuf(const drakvuf&) = delete;
  drakvuf& operator=(const drakvuf&) = delete;

  /// Starts the plugin as DRAKVUF does. False: it refused.
  [[nodiscard]] bool start();
  void stop();

  /// What happens in the guest, seen by the traps that are set for it. Returns how many were hit.
  size_t write_cr3(uint64_t value);
  size_t execute(uint64_t gpa);
  size_t access(uint64_t gpa, int kind);

  [[nodiscard]] size_t traps();
  [[nodiscard]] int pauses() const { return pauses_; }
  bool refuse_traps = false;

  // For the functions in fake.cc.
  furnace::hypervisor::Hypervisor& guest;
  std::string profile;
  struct Watched {
    int descriptor;
    void (*callback)(int, void*);
    void* data;
  };
  std::vector<Watched> watched;
  std::set<drakvuf_trap_t*> set_traps;
  std::vector<std::pair<drakvuf_trap_t*, void (*)(drakvuf_trap_t*)>> removed;
  bool in_callback = false;
  int pauses_ = 0;

 private:
  /// In the loop's thread, as a plugin expects it.
  void in_loop(const std::function<void()>& work);
  size_t hit(uint64_t gpa, const std::function<bool(const drakvuf_trap_t&)>& matches, uint64_t cr3 = 0);
  void loop();

  std::unique_ptr<plugin> plugin_;
  furnace::Fd wake_, done_;
  std::mutex mutex_;
  std::function<void()> work_;
  bool ends_ = false;
  std::thread thread_;
};
