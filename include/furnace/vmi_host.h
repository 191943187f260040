// The VMI partition as a library, for a program that already controls a guest (DRAKVUF does). The program
// gives access to the guest through the functions of `furnace_guest`; the library serves the guest's apps.
// The interface is C, so that any compiler and language standard can use it.
//
// Structures begin with `size`: sizeof the structure, in the release that its writer was compiled with. New
// members are only added at the end. A reader takes members beyond `size` as 0, and ignores those that it
// doesn't know. So a program and a library of different releases work together.
//
// Threads: call all functions of one host from the same thread. The library starts no thread that calls back:
// it calls the functions of `furnace_guest` only while one of its own functions runs.
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

/// A register by its lower-case name: rax ... r15, rip, rflags, cr0, cr2, cr3, cr4, efer, fs_base, gs_base,
/// gdtr_base, idtr_base. Others are ignored. Paging needs cr0, cr3, cr4 and efer. Calls that need a register
/// fail unless rax, rsp, rip, cr0, cr3 and cr4 are given. An event is logged and dropped unless these and
/// rbp, rdi, rsi, rdx, r10, r8 and r9 are given.
typedef struct furnace_register {
  const char* name;
  uint64_t value;
} furnace_register;

/// Bits of an access to memory.
enum { FURNACE_READ = 1, FURNACE_WRITE = 2, FURNACE_EXECUTE = 4 };

enum furnace_watch_kind {
  FURNACE_CR3_WRITE,      ///< any vCPU writes CR3; its registers have the new value
  FURNACE_BREAKPOINT,     ///< the instruction at `gpa` is reached; reported before it runs
  FURNACE_MEMORY_ACCESS,  ///< access to [gpa, gpa + length), within one page; reporting the whole page is
                          ///< fine
};

typedef struct furnace_watch {
  size_t size;  ///< set by the library
  enum furnace_watch_kind kind;
  uint64_t number;       ///< its id, which the program passes to `furnace_vmi_host_event`
  uint64_t gpa, length;  ///< guest physical address; length in bytes
  uint8_t access;        ///< FURNACE_READ ...
} furnace_watch;

/// The guest, as the program gives access to it. Each function gets `context`. All of them may be called
/// until `furnace_vmi_host_close` returns. None may call a function of the library.
typedef struct furnace_guest {
  size_t size;          ///< sizeof(furnace_guest)
  void* context;        ///< passed to each function
  const char* name;     ///< of the guest, for apps and the log; not empty
  uint32_t id;          ///< the hypervisor's number of the guest
  uint32_t vcpus;       ///< 1 or more
  uint64_t memory_end;  ///< the first guest physical address after all RAM; holes may be below it

  /// Copies guest memory into `to`. Returns the number of bytes copied: fewer than `size` if RAM ends or has
  /// a hole there.
  size_t (*read)(void* context, uint64_t gpa, void* to, size_t size);
  /// Copies `from` into guest memory. Returns the number of bytes copied.
  size_t (*write)(void* context, uint64_t gpa, const void* from, size_t size);
  /// Writes the registers of a vCPU into `to`, at most `room`. Returns how many; 0 if they can't be read.
  size_t (*registers)(void* context, uint32_t vcpu, furnace_register* to, size_t room);
  /// Pauses all vCPUs; they have stopped when it returns. Returns 0 if that failed. The library never calls
  /// it twice without `resume` in between.
  int (*pause)(void* context);
  /// Undoes `pause`. Returns 0 if that failed.
  int (*resume)(void* context);
  /// Starts to watch. Returns null, or the reason why it failed as text that is valid until the next call.
  const char* (*watch)(void* context, const furnace_watch* watch);
  /// Stops the watch with this number.
  void (*unwatch)(void* context, uint64_t number);
} furnace_guest;

typedef struct furnace_vmi_options {
  size_t size;            ///< sizeof(furnace_vmi_options)
  const char* directory;  ///< directory for the socket vmi_rtr (docs/spec/wire.md, section 1)
  /// A profile in any format that Furnace reads (docs/profiles.md), as the name of a file or as its content.
  /// If both are null, the library finds the kernel in the guest's memory.
  const char* profile_file;
  const char* profile_text;
  const char* profile_name;  ///< the name of `profile_text` in error messages
} furnace_vmi_options;

/// Starts to serve the guest. Returns null on failure and writes the reason into `error`, at most `size`
/// bytes with the NUL. Fails if a structure is smaller than in the first release that has `size`. Both
/// structures may be freed after the call; what `context` points at must stay. Throws nothing.
furnace_vmi_host* furnace_vmi_host_open(const furnace_guest* guest, const furnace_vmi_options* options,
                                        char* error, size_t size);

/// Returns a descriptor that is readable when `furnace_vmi_host_handle` has something to do. It doesn't
/// change. Don't read from it or close it.
int furnace_vmi_host_descriptor(const furnace_vmi_host* host);

/// Answers calls of apps and does other work that is due. Returns soon, even if there is more to do; then the
/// descriptor stays readable.
void furnace_vmi_host_handle(furnace_vmi_host* host);

/// An event of a watch.
typedef struct furnace_event {
  size_t size;      ///< sizeof(furnace_event)
  uint64_t number;  ///< number of the watch
  uint32_t vcpu;    ///< the vCPU, which must stay stopped there until `furnace_vmi_host_event` returns
  uint64_t gpa;     ///< of a memory access
  uint8_t access;   ///< of a memory access: FURNACE_READ ...
  const furnace_register* registers;  ///< of that vCPU
  size_t count;                       ///< how many `registers` there are, 0 to 64
} furnace_event;

/// Notifies the apps. If one of them wants the guest to be paused, `pause` has been called when this returns.
/// An event of a watch that has ended is ignored. One that lacks registers, or is smaller than in the first
/// release that has `size`, is logged and dropped.
void furnace_vmi_host_event(furnace_vmi_host* host, const furnace_event* event);

/// Stops serving, ends all watches and resumes the guest. `host` is invalid afterwards.
void furnace_vmi_host_close(furnace_vmi_host* host);

// NOLINTEND(modernize-use-using, readability-identifier-naming, performance-enum-size)

#ifdef __cplusplus
}
#endif

#endif
