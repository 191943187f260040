// The kernel's structures for C++ apps: lists as ranges, tasks with their members.
//
//     auto kernel = Kernel::of(host);
//     for (const Task& task : kernel->tasks()) host.log(task.name());
//
// A range ends where its list does, or where it can't go on; `error()` then says why.
#pragma once

#include <algorithm>
#include <array>

#include "furnace/app.h"

namespace furnace::tenant {

/// A circular list of the kernel (include/linux/list.h): the addresses of what hangs on it. One read a step,
/// no allocation; a list without end is cut.
class List {
 public:
  static constexpr int kMaxEntries = 1 << 17;

  /// `head` is the list's head, `offset` that of the list_head in each entry.
  List(Host& host, Gva head, uint64_t offset) : host_(&host), head_(head), offset_(offset) {}

  class Iterator {
   public:
    Gva operator*() const { return node_ - list_->offset_; }
    Iterator& operator++() {
      if (++steps_ == kMaxEntries) {
        list_->error_ = Error{"list: no end after " + std::to_string(steps_) + " entries"};
        node_ = list_->head_;
      } else {
        node_ = list_->next(node_);
      }
      return *this;
    }
    bool operator!=(const Iterator& other) const { return node_ != other.node_; }

   private:
    friend class List;
    Iterator(List* list, Gva node) : list_(list), node_(node) {}
    List* list_;
    Gva node_;
    int steps_ = 0;
  };
  [[nodiscard]] Iterator begin() { return {this, next(head_)}; }
  [[nodiscard]] Iterator end() { return {this, head_}; }
  /// Why the last walk ended early; nullopt: it did not.
  [[nodiscard]] const std::optional<Error>& error() const { return error_; }

 private:
  Gva next(Gva node) {
    auto read = host_->read<uint64_t>(node);
    if (read) return {*read};
    error_ = std::move(read.error());
    return head_;
  }
  Host* host_;
  Gva head_;
  uint64_t offset_;
  std::optional<Error> error_;
};

/// Where the members of task_struct are that Task has.
struct TaskMembers {
  uint64_t tasks = 0, pid = 0, tgid = 0, comm = 0, mm = 0, flags = 0, real_parent = 0, cred = 0;
  uint64_t first = 0, last = 0;  ///< the part of the structure that holds them all
};

/// A task_struct as it was when it was read: all members in one read.
class Task {
 public:
  static constexpr size_t kWindow = 8192;  ///< bytes of task_struct that hold the members

  [[nodiscard]] Gva address() const { return address_; }
  [[nodiscard]] Pid pid() const { return Pid{member<int32_t>(members_->tgid)}; }
  [[nodiscard]] int32_t thread_id() const { return member<int32_t>(members_->pid); }
  [[nodiscard]] Gva mm() const { return {member<uint64_t>(members_->mm)}; }
  [[nodiscard]] Gva parent() const { return {member<uint64_t>(members_->real_parent)}; }
  [[nodiscard]] Gva cred() const { return {member<uint64_t>(members_->cred)}; }
  [[nodiscard]] bool kernel_thread() const {
    return (member<uint32_t>(members_->flags) & 0x00200000) != 0;
  }  // PF_KTHREAD
  /// comm, up to 15 characters, as the kernel has it: any bytes.
  [[nodiscard]] std::string_view name() const {
    const auto* text = reinterpret_cast<const char*>(data_.data() + (members_->comm - members_->first));
    return {text, static_cast<size_t>(std::find(text, text + 15, '\0') - text)};
  }

 private:
  friend class TaskList;
  template <typename T>
  [[nodiscard]] T member(uint64_t offset) const {
    T value;
    std::memcpy(&value, data_.data() + (offset - members_->first), sizeof value);
    return value;
  }
  const TaskMembers* members_ = nullptr;
  Gva address_;
  std::array<std::byte, kWindow> data_;
};

/// The processes but the idle task. Pause the guest for a list that is consistent.
class TaskList {
 public:
  TaskList(Host& host, Gva init_task, const TaskMembers& members)
      : host_(&host), members_(members), head_(init_task + members.tasks) {}

  class Iterator {
   public:
    const Task& operator*() const { return list_->task_; }
    Iterator& operator++() {
      if (++steps_ == List::kMaxEntries) {
        list_->error_ = Error{"task list: no end after " + std::to_string(steps_) + " tasks"};
        node_ = list_->head_;
      } else {
        node_ = list_->load(Gva{list_->task_.member<uint64_t>(list_->members_.tasks)});
      }
      return *this;
    }
    bool operator!=(const Iterator& other) const { return node_ != other.node_; }

   private:
    friend class TaskList;
    Iterator(TaskList* list, Gva node) : list_(list), node_(node) {}
    TaskList* list_;
    Gva node_;
    int steps_ = 0;
  };
  [[nodiscard]] Iterator begin() {
    const auto first = host_->read<uint64_t>(head_);
    if (!first) error_ = first.error();
    return {this, first ? load(Gva{*first}) : head_};
  }
  [[nodiscard]] Iterator end() { return {this, head_}; }
  [[nodiscard]] const std::optional<Error>& error() const { return error_; }

 private:
  Gva load(Gva node) {
    if (node == head_) return head_;
    task_.members_ = &members_;
    task_.address_ = node - members_.tasks;
    const auto window = std::span(task_.data_).first(members_.last - members_.first);
    if (auto read = host_->read(task_.address_ + members_.first, window); !read) {
      error_ = std::move(read.error());
      return head_;
    }
    return node;
  }
  Host* host_;
  TaskMembers members_;
  Gva head_;
  Task task_;
  std::optional<Error> error_;
};

/// The guest's kernel: what is looked up once, so that walks read memory only.
class Kernel {
 public:
  [[nodiscard]] static Result<Kernel> of(Host& host) {
    Kernel kernel(host);
    const auto init_task = host.symbol("init_task");
    if (!init_task) return tl::unexpected<Error>(init_task.error());
    kernel.init_task_ = *init_task;
    TaskMembers& members = kernel.members_;
    const std::array<std::pair<const char*, uint64_t*>, 8> wanted{{{"tasks", &members.tasks},
                                                                   {"pid", &members.pid},
                                                                   {"tgid", &members.tgid},
                                                                   {"comm", &members.comm},
                                                                   {"mm", &members.mm},
                                                                   {"flags", &members.flags},
                                                                   {"real_parent", &members.real_parent},
                                                                   {"real_cred", &members.cred}}};
    members.first = UINT64_MAX;
    for (const auto& [name, offset] : wanted) {
      const auto found = host.offset("task_struct", name);
      if (!found) return tl::unexpected<Error>(found.error());
      *offset = *found;
      members.first = std::min(members.first, *found);
      members.last = std::max(members.last, *found + 16);
    }
    if (members.last - members.first > Task::kWindow)
      return tl::unexpected<Error>(Error{"task_struct: its members lie too far apart"});
    return kernel;
  }

  [[nodiscard]] TaskList tasks() { return {*host_, init_task_, members_}; }
  /// What hangs on a list by its head's symbol: list("modules", "module", "list").
  [[nodiscard]] Result<List> list(std::string_view head, std::string_view structure,
                                  std::string_view member) {
    const auto address = host_->symbol(head);
    if (!address) return tl::unexpected<Error>(address.error());
    return list(*address, structure, member);
  }
  [[nodiscard]] Result<List> list(Gva head, std::string_view structure, std::string_view member) {
    const auto offset = host_->offset(structure, member);
    if (!offset) return tl::unexpected<Error>(offset.error());
    return List(*host_, head, *offset);
  }

 private:
  explicit Kernel(Host& host) : host_(&host) {}
  Host* host_;
  Gva init_task_;
  TaskMembers members_;
};

}  // namespace furnace::tenant
