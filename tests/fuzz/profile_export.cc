#include "fuzz.h"
#include "guest/profile/export.h"
#include "guest/profile/structure.h"

// Types as a guest may have them, written for other tools.
FUZZ(profile_export) {
  using namespace furnace::guest;
  ProfileBuilder builder;
  builder.add_symbol("_text", {0, true, 'T'});
  builder.set_types({input.begin(), input.end()});
  const auto profile = std::move(builder).build();
  if (!profile) return;
  for (const auto format : {ProfileFormat::Isf, ProfileFormat::Rekall, ProfileFormat::SystemMap})
    (void)export_profile(**profile, format);
  for (const auto name : (*profile)->types().structure_names())
    (void)describe_structure((*profile)->types(), name);
}
