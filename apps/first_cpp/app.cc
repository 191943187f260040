// A first app in C++: prints what runs in the VM, then every second how long its kernel has been up.
//
//     g++ -std=c++20 -O2 -shared -fPIC -Iinclude apps/first_cpp/app.cc -o app.so
//     furnace app -c app --u2 my-first-app --vmi DIR
#include <furnace/kernel.h>

#include <cstdio>

using namespace furnace::tenant;

class First : public App {
 public:
  explicit First(Host& host) : host_(host) {
    auto kernel = Kernel::of(host_);
    if (!kernel) {
      fail(kernel.error());
      return;
    }
    auto tasks = kernel->tasks();
    for (const Task& task : tasks)
      std::printf("%d %.*s\n", static_cast<int>(task.pid()), static_cast<int>(task.name().size()),
                  task.name().data());
    if (tasks.error()) fail(*tasks.error());
    host_.add_timer(1.0, [this] { tick(); });
  }

 private:
  void tick() {
    const auto jiffies = host_.symbol("jiffies").and_then([&](Gva at) { return host_.read<uint64_t>(at); });
    if (!jiffies) return fail(jiffies.error());
    std::printf("jiffies: %lu\n", *jiffies);
    if (++ticks_ == 3) host_.exit();
  }
  void fail(const Error& error) {
    host_.log(error.message);
    host_.exit();
  }

  Host& host_;
  int ticks_ = 0;
};

FURNACE_APP(First)
