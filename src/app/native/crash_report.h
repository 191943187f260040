// What a tenant's native code leaves when it crashes: a line that says where.
#pragma once

namespace furnace::app {

/// From now on a SIGSEGV, SIGBUS, SIGFPE, SIGILL or SIGABRT writes the signal's name, and the library and
/// offset of the instruction, to stderr before it ends the process as it would have done. An overflow of the
/// stack is not reported: there is no room left to do so.
void report_crashes();

}  // namespace furnace::app
