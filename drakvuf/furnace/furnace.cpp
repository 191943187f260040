// SPDX-License-Identifier: GPL-2.0-only
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iterator>

#include <fcntl.h>
#include <unistd.h>

#include "furnace.h"

namespace
{

/* As furnace/vmi_host.h names them. */
struct named_register
{
    const char* name;
    uint64_t x86_registers_t::* member;
};
const named_register names[] =
{
    {"rax", &x86_registers_t::rax},
    {"rbx", &x86_registers_t::rbx},
    {"rcx", &x86_registers_t::rcx},
    {"rdx", &x86_registers_t::rdx},
    {"rsi", &x86_registers_t::rsi},
    {"rdi", &x86_registers_t::rdi},
    {"rbp", &x86_registers_t::rbp},
    {"rsp", &x86_registers_t::rsp},
    {"r8", &x86_registers_t::r8},
    {"r9", &x86_registers_t::r9},
    {"r10", &x86_registers_t::r10},
    {"r11", &x86_registers_t::r11},
    {"r12", &x86_registers_t::r12},
    {"r13", &x86_registers_t::r13},
    {"r14", &x86_registers_t::r14},
    {"r15", &x86_registers_t::r15},
    {"rip", &x86_registers_t::rip},
    {"rflags", &x86_registers_t::rflags},
    {"cr0", &x86_registers_t::cr0},
    {"cr2", &x86_registers_t::cr2},
    {"cr3", &x86_registers_t::cr3},
    {"cr4", &x86_registers_t::cr4},
    {"efer", &x86_registers_t::msr_efer},
    {"fs_base", &x86_registers_t::fs_base},
    {"gs_base", &x86_registers_t::gs_base},
    {"gdtr_base", &x86_registers_t::gdtr_base},
    {"idtr_base", &x86_registers_t::idtr_base},
};

size_t to_furnace(const x86_registers_t& from, furnace_register* to, size_t room)
{
    const size_t count = std::min(room, std::size(names));
    for (size_t i = 0; i < count; ++i)
        to[i] = {names[i].name, from.*names[i].member};
    return count;
}

const char* environment(const char* variable, const char* otherwise)
{
    const char* value = getenv(variable);
    return value && *value ? value : otherwise;
}

/* A hole ends a read at its page: LibVMI gives up a read that meets one anywhere. */
size_t to_the_end_of_page(uint64_t at, size_t size)
{
    return std::min<size_t>(size, VMI_PS_4KB - at % VMI_PS_4KB);
}

size_t read_memory(void* context, uint64_t gpa, void* to, size_t size)
{
    vmi_lock_guard vmi(static_cast<drakvuf_t>(context));
    size_t done = 0;
    while (done < size)
    {
        const size_t wanted = to_the_end_of_page(gpa + done, size - done);
        size_t got = 0;
        vmi_read_pa(vmi, gpa + done, wanted, static_cast<char*>(to) + done, &got);
        done += got;
        if (got != wanted)
            break;
    }
    return done;
}

size_t write_memory(void* context, uint64_t gpa, const void* from, size_t size)
{
    vmi_lock_guard vmi(static_cast<drakvuf_t>(context));
    size_t done = 0;
    vmi_write_pa(vmi, gpa, size, const_cast<void*>(from), &done); /* LibVMI does not write there */
    return done;
}

size_t read_registers(void* context, uint32_t vcpu, furnace_register* to, size_t room)
{
    vmi_lock_guard vmi(static_cast<drakvuf_t>(context));
    registers_t registers{};
    if (vmi_get_vcpuregs(vmi, &registers, vcpu) != VMI_SUCCESS)
        return 0;
    return to_furnace(registers.x86, to, room);
}

void fill_cr3(const furnace_watch&, uint8_t, drakvuf_trap_t& trap)
{
    trap.type = REGISTER;
    trap.regaccess.type = CR3;
}

void fill_breakpoint(const furnace_watch& watch, uint8_t, drakvuf_trap_t& trap)
{
    trap.type = BREAKPOINT;
    trap.breakpoint.lookup_type = LOOKUP_NONE;
    trap.breakpoint.addr_type = ADDR_PA;
    trap.breakpoint.addr = watch.gpa;
}

/* As by Furnace's other drivers, data is told behind the instruction, where what it wrote can be read, and execution before. */
void fill_memaccess(const furnace_watch& watch, uint8_t access, drakvuf_trap_t& trap)
{
    trap.type = MEMACCESS;
    trap.memaccess.gfn = watch.gpa / VMI_PS_4KB;
    trap.memaccess.access = access == FURNACE_READ ? VMI_MEMACCESS_R : access == FURNACE_WRITE ? VMI_MEMACCESS_W : VMI_MEMACCESS_X;
    trap.memaccess.type = access == FURNACE_EXECUTE ? PRE : POST;
}

} // namespace

furnace_plugin::furnace_plugin(drakvuf_t _drakvuf, output_format_t)
    : drakvuf{_drakvuf}
{
    open();
    if (!host)
    {
        fprintf(stderr, "furnace: %s\n", error.c_str());
        throw -1;
    }
    drakvuf_event_fd_add(drakvuf, furnace_vmi_host_descriptor(host), handle, this);
}

furnace_plugin::~furnace_plugin()
{
    close();
}

bool furnace_plugin::stop_impl()
{
    close();
    return true;
}

void furnace_plugin::open()
{
    furnace_vmi_options options{};
    options.size = sizeof options;
    options.directory = environment("FURNACE_VMI_DIR", "/opt/furnace/vmi_socket");
    options.profile_file = environment("FURNACE_PROFILE", nullptr);
    if (!options.profile_file)
    {
        /* The one that DRAKVUF was started with: Rekall's form or Volatility's. */
        vmi_lock_guard vmi(drakvuf);
        if (json_object* json = vmi_get_kernel_json(vmi))
            options.profile_text = json_object_to_json_string(json);
        options.profile_name = "DRAKVUF's profile";
    }
    const furnace_guest guest = lend();
    char why[1000];
    host = furnace_vmi_host_open(&guest, &options, why, sizeof why);
    if (!host)
        error = why;
}

void furnace_plugin::close()
{
    if (!host)
        return;
    drakvuf_event_fd_remove(drakvuf, furnace_vmi_host_descriptor(host));
    furnace_vmi_host_close(host); /* takes all watches back */
    host = nullptr;
}

furnace_guest furnace_plugin::lend()
{
    furnace_guest guest{};
    guest.size = sizeof guest;
    {
        vmi_lock_guard vmi(drakvuf);
        char* own = vmi_get_name(vmi);
        name = own ? own : "";
        free(own);
        guest.vcpus = vmi_get_num_vcpus(vmi);
        guest.memory_end = vmi_get_max_physical_address(vmi);
    }
    guest.context = this;
    guest.name = name.c_str();
    guest.id = drakvuf_get_dom_id(drakvuf);
    guest.read = [](void* self, uint64_t gpa, void* to, size_t size)
    {
        return read_memory(static_cast<furnace_plugin*>(self)->drakvuf, gpa, to, size);
    };
    guest.write = [](void* self, uint64_t gpa, const void* from, size_t size)
    {
        return write_memory(static_cast<furnace_plugin*>(self)->drakvuf, gpa, from, size);
    };
    guest.registers = [](void* self, uint32_t vcpu, furnace_register* to, size_t room)
    {
        return read_registers(static_cast<furnace_plugin*>(self)->drakvuf, vcpu, to, room);
    };
    guest.pause = [](void* self) -> int
    {
        return drakvuf_pause(static_cast<furnace_plugin*>(self)->drakvuf);
    };
    guest.resume = [](void* self) -> int
    {
        return drakvuf_resume(static_cast<furnace_plugin*>(self)->drakvuf);
    };
    guest.watch = [](void* self, const furnace_watch* wanted)
    {
        return static_cast<furnace_plugin*>(self)->watch(*wanted);
    };
    guest.unwatch = [](void* self, uint64_t number)
    {
        static_cast<furnace_plugin*>(self)->unwatch(number);
    };
    return guest;
}

bool furnace_plugin::add(const furnace_watch& watch, uint8_t access, void (*fill)(const furnace_watch&, uint8_t, drakvuf_trap_t&))
{
    auto* made = new trap{this, watch.number, access, {}};
    made->trap.cb = happened;
    made->trap.data = made;
    made->trap.name = "furnace";
    made->trap.ttl = UNLIMITED_TTL;
    fill(watch, access, made->trap);
    if (!drakvuf_add_trap(drakvuf, &made->trap))
    {
        delete made;
        return false;
    }
    traps.emplace(watch.number, made);
    return true;
}

const char* furnace_plugin::watch(const furnace_watch& watch)
{
    bool added = true;
    switch (watch.kind)
    {
        case FURNACE_CR3_WRITE:
            added = add(watch, 0, fill_cr3);
            break;
        case FURNACE_BREAKPOINT:
            added = add(watch, 0, fill_breakpoint);
            break;
        case FURNACE_MEMORY_ACCESS:
            for (const uint8_t access : {FURNACE_READ, FURNACE_WRITE, FURNACE_EXECUTE})
                if (watch.access & access)
                    added = added && add(watch, access, fill_memaccess);
            /* EPT has no page that may be written and not read (Intel SDM volume 3, section 29.3.3.1). */
            if ((watch.access & FURNACE_READ) && !(watch.access & FURNACE_WRITE))
                added = added && add(watch, FURNACE_WRITE, [](const furnace_watch& of, uint8_t access, drakvuf_trap_t& trap)
            {
                fill_memaccess(of, access, trap);
                static_cast<furnace_plugin::trap*>(trap.data)->access = 0;
            });
            break;
    }
    if (added)
        return nullptr;
    unwatch(watch.number);
    error = "DRAKVUF refuses a trap at " + std::to_string(watch.gpa) + ": its log says why (-v)";
    return error.c_str();
}

void furnace_plugin::unwatch(uint64_t number)
{
    const auto range = traps.equal_range(number);
    for (auto it = range.first; it != range.second; ++it)
        drakvuf_remove_trap(drakvuf, &it->second->trap, free_trap);
    traps.erase(range.first, range.second);
}

void furnace_plugin::free_trap(drakvuf_trap_t* trap)
{
    delete static_cast<furnace_plugin::trap*>(trap->data);
}

void furnace_plugin::tell(const trap& hit, const drakvuf_trap_info_t& info)
{
    const bool is_memory = hit.trap.type == MEMACCESS;
    if (!host || (is_memory && hit.access == 0))
        return;
    furnace_register registers[std::size(names)];
    furnace_event event{};
    event.size = sizeof event;
    event.number = hit.number;
    event.vcpu = info.vcpu;
    event.gpa = info.trap_pa;
    event.access = hit.access;
    event.registers = registers;
    event.count = to_furnace(*info.regs, registers, std::size(names));
    furnace_vmi_host_event(host, &event);
}

event_response_t furnace_plugin::happened(drakvuf_t, drakvuf_trap_info_t* info)
{
    auto* hit = static_cast<trap*>(info->trap->data);
    hit->owner->tell(*hit, *info);
    return VMI_EVENT_RESPONSE_NONE;
}

void furnace_plugin::establish()
{
    if (established)
        return;
    established = true;
    /* DRAKVUF's loop runs: it has all it needs. Under an inspector the rights of its start end here (wire.md section 7). */
    const int none = ::open("ESTABLISHED", O_RDONLY | O_CLOEXEC);
    if (none != -1)
        ::close(none);
}

void furnace_plugin::handle(int, void* data)
{
    auto* self = static_cast<furnace_plugin*>(data);
    self->establish();
    {
        /* The guest has run since. */
        vmi_lock_guard vmi(self->drakvuf);
        vmi_pagecache_flush(vmi);
        vmi_v2pcache_flush(vmi, ~0ull);
    }
    furnace_vmi_host_handle(self->host);
}
