// Small processes that outlive the one that starts them, to undo what it leaves.
#pragma once

#include <vector>

namespace furnace {

/// After fork, in the child: a session and a name of its own (`name`, 15 characters at most), no descriptor
/// but those in `kept`, /dev/null for standard streams (who waits for the ends of our starter's pipes must
/// not wait for us), and deaf to the signals that end a terminal's or a service's processes.
void become_helper(const char* name, std::vector<int> kept);

}  // namespace furnace
