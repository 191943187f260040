// The VMI partition inside a program that holds a guest already: it lends us the guest through the functions
// below, and we serve the guest's apps. A C interface, so that any compiler and language standard will do.
//
// Nothing here starts a thread that calls back: all calls of `furnace_guest` come from within a call of ours.
#ifndef FURNACE_VMI_HOST_H
#define FURNACE_VMI_HOST_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// C names, and enumerations as C has them:
// NOLINTBEGIN(modernize-use-using, readability-identifier-naming, performance-enum-size)

typedef struct furnace_vmi_host furnace_vmi_host;

/// A register by lower-case name: rax ... r15, rip, rflags, cr0, cr2, cr3, cr4, efer, fs_base, gs_base,
/// gdtr_base, idtr_base. Paging needs cr0, cr3, cr4 and efer.
typedef struct furnace_register {
  const char* name;
  uint64_t value;
} furnace_register;

/// Bits of an access to memory.
enum { FURNACE_READ = 1, FURNACE_WRITE = 2, FURNACE_EXECUTE = 4 };

enum furnace_watch_kind {
  FURNACE_CR3_WRITE,      ///< of any vCPU; its registers have the new value
  FURNACE_BREAKPOINT,     ///< at `gpa`, before the instruction
  FURNACE_MEMORY_ACCESS,  ///< to [gpa, gpa + length), which lies in one page; telling of all the page will do
};

typedef struct furnace_watch {
  enum furnace_watch_kind kind;
  uint64_t number;  ///< what `furnace_vmi_host_event` calls it
  uint64_t gpa, length;
  uint8_t access;  ///< FURNACE_READ ...
} furnace_watch;

/// The guest as the program that holds it lends it. `context` is handed to every function.
typedef struct furnace_guest {
  void* context;
  const char* name;
  uint32_t id;          ///< the hypervisor's number for it
  uint32_t vcpus;       ///< 1 or more
  uint64_t memory_end;  ///< the first guest physical address behind all RAM; holes read as less than asked

  /// Bytes copied; fewer than `size` where there is no RAM.
  size_t (*read)(void* context, uint64_t gpa, void* to, size_t size);
  size_t (*write)(void* context, uint64_t gpa, const void* from, size_t size);
  /// How many registers were written into `to`; 0: none to be had.
  size_t (*registers)(void* context, uint32_t vcpu, furnace_register* to, size_t room);
  /// Stops all vCPUs, and lets them run. False: it did not work.
  int (*pause)(void* context);
  int (*resume)(void* context);
  /// Starts to watch. Null if that worked, otherwise why not, valid until the next call.
  const char* (*watch)(void* context, const furnace_watch* watch);
  void (*unwatch)(void* context, uint64_t number);
} furnace_guest;

typedef struct furnace_vmi_options {
  const char* directory;  ///< where vmi_rtr is made (wire.md section 1)
  /// A profile in any format that Furnace reads, as a file's name or as its text; null: none, then the kernel
  /// is found in the guest's memory.
  const char* profile_file;
  const char* profile_text;
  const char* profile_name;  ///< what errors call the text
} furnace_vmi_options;

/// Serves the guest from now on. Null: it did not work, and `error` says why, in `size` bytes at most.
furnace_vmi_host* furnace_vmi_host_open(const furnace_guest* guest, const furnace_vmi_options* options,
                                        char* error, size_t size);

/// Readable when `furnace_vmi_host_handle` has something to do. It stays the same.
int furnace_vmi_host_descriptor(const furnace_vmi_host* host);

/// Answers calls, and does what is due. Returns soon, also while there is more to do: the descriptor is
/// readable then.
void furnace_vmi_host_handle(furnace_vmi_host* host);

/// What was watched for happened.
typedef struct furnace_event {
  uint64_t number;  ///< of the watch
  uint32_t vcpu;    ///< which stands where it happened until `furnace_vmi_host_event` returns
  uint64_t gpa;     ///< of a memory access
  uint8_t access;   ///< of a memory access: FURNACE_READ ...
  const furnace_register* registers;
  size_t count;
} furnace_event;

/// Tells the apps. If one of them wants the guest to stand, `pause` was called when this returns.
void furnace_vmi_host_event(furnace_vmi_host* host, const furnace_event* event);

/// Stops serving: all watches end, and the guest runs.
void furnace_vmi_host_close(furnace_vmi_host* host);

// NOLINTEND(modernize-use-using, readability-identifier-naming, performance-enum-size)

#ifdef __cplusplus
}
#endif

#endif
