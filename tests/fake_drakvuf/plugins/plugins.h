// What the plugin uses of DRAKVUF and of LibVMI, for tests without either: the same names with the same
// meaning, nothing else. tests/fake_drakvuf/fake.cc has the functions.
#pragma once

#include <cstddef>
#include <cstdint>

using addr_t = uint64_t;
using vmi_pid_t = int32_t;

// LibVMI
struct vmi_instance;
using vmi_instance_t = vmi_instance*;
enum status_t { VMI_SUCCESS, VMI_FAILURE };
enum { CR3 = 3 };
enum vmi_mem_access_t { VMI_MEMACCESS_R = 1, VMI_MEMACCESS_W = 2, VMI_MEMACCESS_X = 4 };
using event_response_t = uint32_t;
enum { VMI_EVENT_RESPONSE_NONE = 0 };
constexpr uint64_t VMI_PS_4KB = 4096;

struct x86_registers_t {
  uint64_t rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15, rflags, rip, cr0,
      cr2, cr3, cr4, msr_efer, fs_base, gs_base, gdtr_base, idtr_base;
};
struct registers_t {
  x86_registers_t x86;
};

status_t vmi_read_pa(vmi_instance_t vmi, addr_t gpa, size_t count, void* to, size_t* done);
status_t vmi_write_pa(vmi_instance_t vmi, addr_t gpa, size_t count, void* from, size_t* done);
status_t vmi_get_vcpuregs(vmi_instance_t vmi, registers_t* to, unsigned long vcpu);
unsigned vmi_get_num_vcpus(vmi_instance_t vmi);
addr_t vmi_get_max_physical_address(vmi_instance_t vmi);
char* vmi_get_name(vmi_instance_t vmi);
void vmi_pagecache_flush(vmi_instance_t vmi);
void vmi_v2pcache_flush(vmi_instance_t vmi, addr_t dtb);

// json-c
struct json_object;
json_object* vmi_get_kernel_json(vmi_instance_t vmi);
const char* json_object_to_json_string(json_object* json);

// libdrakvuf
struct drakvuf;
using drakvuf_t = drakvuf*;
enum trap_type_t { BREAKPOINT = 1, MEMACCESS, REGISTER };
enum lookup_type_t { LOOKUP_NONE = 1 };
enum addr_type_t { ADDR_PA = 3 };
enum memaccess_type_t { PRE = 1, POST };
enum { UNLIMITED_TTL = 0 };
enum output_format_t { OUTPUT_DEFAULT };

struct drakvuf_trap_t;
struct drakvuf_trap_info_t {
  unsigned vcpu;
  addr_t trap_pa;
  x86_registers_t* regs;
  drakvuf_trap_t* trap;
};
struct drakvuf_trap_t {
  trap_type_t type;
  event_response_t (*cb)(drakvuf_t, drakvuf_trap_info_t*);
  void* data;
  const char* name;
  union {
    struct {
      lookup_type_t lookup_type;
      addr_type_t addr_type;
      addr_t addr;
    } breakpoint;
    struct {
      addr_t gfn;
      vmi_mem_access_t access;
      memaccess_type_t type;
    } memaccess;
    struct {
      int type;
    } regaccess;
  };
  uint64_t ttl;
};

vmi_instance_t drakvuf_lock_and_get_vmi(drakvuf_t drakvuf);
void drakvuf_release_vmi(drakvuf_t drakvuf);
uint16_t drakvuf_get_dom_id(drakvuf_t drakvuf);
bool drakvuf_pause(drakvuf_t drakvuf);
bool drakvuf_resume(drakvuf_t drakvuf);
bool drakvuf_add_trap(drakvuf_t drakvuf, drakvuf_trap_t* trap);
void drakvuf_remove_trap(drakvuf_t drakvuf, drakvuf_trap_t* trap, void (*free_routine)(drakvuf_trap_t*));
int drakvuf_event_fd_add(drakvuf_t drakvuf, int descriptor, void (*callback)(int, void*), void* data);
int drakvuf_event_fd_remove(drakvuf_t drakvuf, int descriptor);

struct vmi_lock_guard {
  explicit vmi_lock_guard(drakvuf_t held) : drakvuf(held), vmi(drakvuf_lock_and_get_vmi(held)) {}
  ~vmi_lock_guard() { drakvuf_release_vmi(drakvuf); }
  vmi_lock_guard(const vmi_lock_guard&) = delete;
  vmi_lock_guard& operator=(const vmi_lock_guard&) = delete;
  operator vmi_instance_t() const { return vmi; }
  drakvuf_t drakvuf;
  vmi_instance_t vmi;
};

class plugin {
 public:
  virtual ~plugin() = default;
  bool stop() { return stop_impl(); }

 protected:
  virtual bool stop_impl() = 0;
};
