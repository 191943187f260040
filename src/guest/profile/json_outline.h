// Where the parts of a large JSON document lie. Profiles are one object of a few sections with tens of
// thousands of small members each: parsed one member at a time, they need no memory for the whole document's
// tree, which costs more time (page faults of fresh memory) than reading the text does.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "guest/profile/padded_text.h"

namespace furnace::guest::json {

/// Of the object {"section": {"name": value, ...}, ...}. Whether a value is JSON at all is for its parser to
/// say.
class Outline {
 public:
  struct Member {
    std::string name;
    std::string_view value;  ///< is in the text that was read
  };
  using Members = std::vector<Member>;

  /// Fails, with the offset, where the text is no object of comma-separated members.
  [[nodiscard]] static Result<Outline> read(const PaddedText& text);

  /// The members of a section; fails if there is none of that name, or it is no object.
  [[nodiscard]] Result<const Members*> section(std::string_view name) const;
  /// The same, for sections that may be missing.
  [[nodiscard]] const Members& optional_section(std::string_view name) const;

 private:
  struct Section {
    std::string name;
    bool is_object = false;
    Members members;
  };
  std::vector<Section> sections_;
};

}  // namespace furnace::guest::json
