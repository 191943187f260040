// SPDX-License-Identifier: GPL-2.0-only
// The VMI partition of Furnace as a plugin of DRAKVUF: tenants' apps see the guest that DRAKVUF watches.
#ifndef FURNACE_PLUGIN_H
#define FURNACE_PLUGIN_H

#include <map>
#include <string>
#include <vector>

#include <furnace/vmi_host.h>

#include "plugins/plugins.h"

class furnace_plugin : public plugin
{
public:
    furnace_plugin(drakvuf_t drakvuf, output_format_t output);
    ~furnace_plugin() override;
    furnace_plugin(const furnace_plugin&) = delete;
    furnace_plugin& operator=(const furnace_plugin&) = delete;

protected:
    bool stop_impl() override;

private:
    /* What one watch of Furnace's is made of: a trap for each kind of access. */
    struct trap
    {
        furnace_plugin* owner;
        uint64_t number;  /* of the watch */
        uint8_t access;   /* that it tells of; 0: it is only there for the sake of another one */
        drakvuf_trap_t trap;
    };

    void open();
    void close();
    void establish();
    furnace_guest lend();
    const char* watch(const furnace_watch& watch);
    void unwatch(uint64_t number);
    bool add(const furnace_watch& watch, uint8_t access, void (*fill)(const furnace_watch&, uint8_t, drakvuf_trap_t&));
    void tell(const trap& hit, const drakvuf_trap_info_t& info);

    static void handle(int fd, void* data);
    static event_response_t happened(drakvuf_t drakvuf, drakvuf_trap_info_t* info);
    static void free_trap(drakvuf_trap_t* trap);

    drakvuf_t drakvuf;
    std::string name;
    furnace_vmi_host* host = nullptr;
    std::multimap<uint64_t, trap*> traps;
    std::string error;
    bool established = false;
};

#endif
