#include "guest/profile/profile.h"

#include "fuzz.h"

FUZZ(profile) {
  const auto profile = furnace::guest::Profile::from_image({input.begin(), input.end()});
  if (!profile) return;
  for (const char* name : {"init_task", "a", "", "zzz"}) (void)(*profile)->symbol(name);
}
