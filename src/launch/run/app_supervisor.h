// `furnace run`: starts the partitions of an app in order, and again when they end.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "launch/manifest.h"

namespace furnace::launch {

/// Runs until the app has ended for good, or `stop` is readable (base/signals.h); then ends all in the
/// opposite order.
/// The app's exit code; 0 after a signal. What ends otherwise is started again, within the manifest's limits
/// and after a time that grows, and its end is written to crashes/ beside the manifest. An error says what
/// can't come right: a first start that failed, too many starts, a VM that isn't there. An app whose VMI
/// partition was restarted is restarted, too: its events went with it. A VMI partition that another command
/// runs in the directory is used.
[[nodiscard]] Result<int> run_app(const Manifest& manifest, Fd stop);

}  // namespace furnace::launch
