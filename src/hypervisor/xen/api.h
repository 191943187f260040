// Xen's libraries. Their headers are only for C, and need to come in this order.
#pragma once

#include <cstdint>
#include <cstring>

// clang-format off
extern "C" {
#include <xenctrl.h>
#include <xenguest.h>
#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenstore.h>
#include <xentoollog.h>
#include <xen/hvm/save.h>
#include <xen/vm_event.h>

// libxenctrl exports it, but no header that it installs declares it (4.17): what each frame is used for.
int xc_get_pfn_type_batch(xc_interface* control, uint32_t domain, unsigned count, xen_pfn_t* frames);
}
// clang-format on
