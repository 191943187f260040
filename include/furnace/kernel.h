// The guest kernel's structures for C++ apps: lists as ranges, tasks with their members.
//
//     auto kernel = Kernel::of(host);
//     for (const Task& task : kernel->tasks()) host.log(task.name());
//
// A range ends where its list ends, or where reading fails; then `error()` has the reason.
#pragma once

#include <algorithm>
#include <array>

#include "furnace/app.h"

namespace furnace::tenant {

/// A circular list of the kernel (include/linux/list.h), as a range of the addresses of its entries. Each
/// step is one read and allocates nothing. After kMaxEntries the range ends with an error.
class List {
 public:
  static constexpr int kMaxEntries = 1 << 17;

  /// `head` is the address of the list's head. `offset` is the byte offset of the list_head in each entry.
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
  /// Returns why the last walk ended early, or nullopt if it reached the end.
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

/// Byte offsets of the members of task_struct that Task reads.
struct TaskMembers {
  uint64_t tasks = 0, pid = 0, tgid = 0, comm = 0, mm = 0, flags = 0, real_parent = 0, cred = 0;
  uint64_t first = 0, last = 0;  ///< the range that holds them all
};

/// A copy of a task_struct, made by one read. It doesn't change when the guest's task does.
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
  /// The name (comm): up to 15 bytes, which may be any bytes. The view is valid as long as this Task.
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

/// All processes except the idle task, as a range. Pause the guest if the list must be consistent.
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

/// The guest's kernel. It looks up symbols and offsets once, so that walks only read memory.
class Kernel {
 public:
  /// Looks up what the walks need. Fails if a symbol or a member of task_struct is missing.
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
      return tl::unexpected<Error>(Error{"task_struct: its members are too far apart"});
    return kernel;
  }

  /// Returns the task list as a range.
  [[nodiscard]] TaskList tasks() { return {*host_, init_task_, members_}; }
  /// Returns a list by the symbol of its head, the structure of its entries and the member that links them:
  /// list("modules", "module", "list").
  [[nodiscard]] Result<List> list(std::string_view head, std::string_view structure,
                                  std::string_view member) {
    const auto address = host_->symbol(head);
    if (!address) return tl::unexpected<Error>(address.error());
    return list(*address, structure, member);
  }
  /// Returns a list by the address of its head.
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
