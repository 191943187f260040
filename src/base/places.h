// Where things are inside a partition (wire.md section 6).
#pragma once

namespace furnace::places {

inline constexpr const char* kHome = "/opt/furnace";
inline constexpr const char* kFacilities = "/opt/furnace/fac_socket";  ///< of fac_rtr and fac_pub
inline constexpr const char* kVmi = "/opt/furnace/vmi_socket";         ///< of vmi_rtr
inline constexpr const char* kStorage = "/opt/furnace/storage";
inline constexpr const char* kKeys = "/opt/furnace/keys";
inline constexpr const char* kApp = "/opt/furnace/app";         ///< of the tenant's files
inline constexpr const char* kShared = "/opt/furnace/shared";   ///< of files that the VMI partition reads
inline constexpr const char* kKernels = "/opt/kernels/rekall";  ///< of profiles that were given
inline constexpr const char* kEnterOfShell =
    "/opt/furnace/enter";  ///< furnace-enter, where the root is the host's

}  // namespace furnace::places
