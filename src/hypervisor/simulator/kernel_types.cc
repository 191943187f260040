#include "hypervisor/simulator/kernel_types.h"

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <string>
#include <string_view>

#include "base/text.h"
#include "guest/profile/btf_builder.h"

namespace furnace::hypervisor {
namespace {

using guest::BtfBuilder;

struct Declaration {
  std::string_view name;
  std::string_view members;  ///< "TYPE NAME; ..." as in C, pointers as *TYPE, arrays as NAME[N]
  bool fixed = false;        ///< members stay in this order, without gaps
};

// A structure comes after those it holds.
constexpr std::array kStructures = {
    Declaration{"list_head", "*list_head next; *list_head prev", true},
    Declaration{"hlist_head", "*hlist_node first", true},
    Declaration{"hlist_node", "*hlist_node next; **hlist_node pprev", true},
    Declaration{"kuid_t", "u32 val", true},
    Declaration{"kgid_t", "u32 val", true},
    Declaration{"cred",
                "u32 usage; kuid_t uid; kgid_t gid; kuid_t suid; kgid_t sgid; kuid_t euid; kgid_t egid"},
    Declaration{"hlist_bl_node", "*hlist_bl_node next; **hlist_bl_node pprev", true},
    Declaration{"qstr", "u32 hash; u32 len; *char name", true},
    Declaration{"path", "*vfsmount mnt; *dentry dentry", true},
    Declaration{"vfsmount", "*dentry mnt_root; *super_block mnt_sb"},
    Declaration{"mount", "*mount mnt_parent; *dentry mnt_mountpoint; vfsmount mnt"},
    Declaration{"super_block", "u64 s_magic"},
    Declaration{"inode", "u16 i_mode; *super_block i_sb; u64 i_ino"},
    Declaration{"dentry_operations", "*void d_revalidate; *void d_dname"},
    Declaration{
        "dentry",
        "hlist_bl_node d_hash; *dentry d_parent; qstr d_name; *inode d_inode; *dentry_operations d_op"},
    Declaration{"file", "path f_path; *inode f_inode; u32 f_flags; u64 f_pos; *void private_data"},
    Declaration{"fdtable", "u32 max_fds; **file fd; *u64 open_fds"},
    Declaration{"files_struct", "u32 count; *fdtable fdt; u32 next_fd"},
    Declaration{"in6_addr", "u32 addr[4]", true},
    Declaration{"sock_common",
                "u32 skc_daddr; u32 skc_rcv_saddr; u16 skc_dport; u16 skc_num; u16 skc_family; "
                "u8 skc_state; in6_addr skc_v6_daddr; in6_addr skc_v6_rcv_saddr"},
    Declaration{"sock", "sock_common __sk_common; u16 sk_type; u16 sk_protocol"},
    Declaration{"socket", "u32 state; s16 type; u64 flags; *file file; *sock sk"},
    Declaration{"module_layout", "*void base; u32 size; u32 text_size", true},
    Declaration{"module", "u32 state; list_head list; char name[56]; module_layout core_layout"},
    Declaration{"xarray", "u32 xa_lock; u32 xa_flags; *void xa_head", true},
    Declaration{
        "xa_node",
        "u8 shift; u8 offset; u8 count; u8 nr_values; *xa_node parent; *xarray array; *void slots[64]"},
    Declaration{"idr", "xarray idr_rt; u32 idr_base; u32 idr_next", true},
    Declaration{"upid", "s32 nr; *pid_namespace ns", true},
    Declaration{"pid", "u32 count; u32 level; hlist_head tasks[4]; upid numbers[1]"},
    Declaration{"pid_namespace", "idr idr; u32 pid_allocated"},
    Declaration{"mm_struct", "*u64 pgd; u64 arg_start; u64 arg_end; *file exe_file"},
    Declaration{"task_struct",
                "u32 __state; u32 flags; list_head tasks; *mm_struct mm; s32 pid; s32 tgid; "
                "*task_struct real_parent; *task_struct group_leader; *pid thread_pid; "
                "hlist_node pid_links[4]; *cred real_cred; *cred cred; char comm[16]; "
                "*files_struct files; u64 start_boottime; s32 exit_state"},
};

class TypeMaker {
 public:
  explicit TypeMaker(uint64_t seed) : random_(seed) {
    struct Number {
      std::string_view name, in_c;
      uint32_t size;
      bool is_signed;
    };
    constexpr std::array numbers = {
        Number{"u8", "unsigned char", 1, false}, Number{"u16", "short unsigned int", 2, false},
        Number{"u32", "unsigned int", 4, false}, Number{"u64", "long unsigned int", 8, false},
        Number{"s16", "short int", 2, true},     Number{"s32", "int", 4, true},
        Number{"char", "char", 1, true}};
    for (const Number& number : numbers)
      known_[std::string(number.name)] = {builder_.add_int(number.in_c, number.size, number.is_signed),
                                          number.size, number.size};
    known_["void"] = {0, 0, 1};
    for (const Declaration& declaration : kStructures)
      known_[std::string(declaration.name)] = {builder_.declare_record(), 0, 1};
  }

  std::vector<std::byte> make() {
    for (const Declaration& declaration : kStructures) define(declaration);
    return builder_.build();
  }

 private:
  struct Known {
    uint32_t id = 0;
    uint32_t size = 0, alignment = 1;
  };

  Known type(std::string_view name) {
    if (!name.starts_with('*')) return known_[std::string(name)];
    return {builder_.add_pointer(type(name.substr(1)).id), 8, 8};
  }

  void define(const Declaration& declaration) {
    std::vector<BtfBuilder::Member> members;
    uint32_t offset = 0;
    uint32_t alignment = 1;
    for (const std::string_view member : items(declaration.members, ';')) {
      const Cut typed = cut(trimmed(member), ' ');
      const Cut sized = cut(typed.after, '[');
      const std::string_view name = sized.before;
      Known form = type(typed.before);
      if (sized.found) {
        const uint32_t count = parse_number<uint32_t>(cut(sized.after, ']').before).value_or(0);
        form = {builder_.add_array(form.id, count), form.size * count, form.alignment};
      }
      if (!declaration.fixed) offset += static_cast<uint32_t>(random_() % 4) * 8;
      offset = (offset + form.alignment - 1) / form.alignment * form.alignment;
      members.push_back({name, form.id, offset});
      offset += form.size;
      alignment = std::max(alignment, form.alignment);
    }
    Known& known = known_[std::string(declaration.name)];
    known.size = (offset + alignment - 1) / alignment * alignment;
    known.alignment = alignment;
    (void)builder_.define_record(known.id, BtfBuilder::Record::Struct, declaration.name, known.size, members);
  }

  std::mt19937_64 random_;
  BtfBuilder builder_;
  std::map<std::string, Known> known_;
};

}  // namespace

std::vector<std::byte> simulated_types(uint64_t seed) {
  return TypeMaker(seed).make();
}

}  // namespace furnace::hypervisor
