// What clients are told of a change: the object `data` of its message (postgres-changes.md 8).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "domain/changes/change.h"
#include "domain/changes/table.h"
#include "domain/changes/value_json.h"

namespace rt::changes {

// By place in the columns of the table: whether a recipient is shown it.
using Shown = std::vector<bool>;

// What is the same for all who are told of a change: each value is converted once, when the first of them is shown it.
class RenderedChange {
 public:
  // `change` and `types` outlive it. `row` and `before`: JSON that Postgres made, by place; nullopt, or shorter: there
  // is none. `record_bytes_max`: a change that is larger, as the reference server measures it, is told without its
  // large values.
  using Converted = std::vector<std::optional<std::string>>;
  RenderedChange(const Change& change, const Types& types, std::size_t record_bytes_max, Converted row = {},
                 Converted before = {});

  // The object `data`, for whoever may see and wants `shown`. DELETE of a table with row level security: of its old row
  // only the primary key is told.
  std::string data(const Shown& shown);
  bool is_too_large() const { return is_too_large_; }

 private:
  // The JSON of one value, within that of its row.
  struct Piece {
    enum class State : std::uint8_t { kNotMade, kMade, kLeftOut };
    State state = State::kNotMade;
    std::size_t begin = 0;
    std::size_t size = 0;
  };
  // One of the two rows.
  struct Image {
    const Values& values;
    Converted converted;
    std::string json{};
    std::vector<Piece> pieces{};  // by place
  };

  bool is_shown(const Shown& shown, std::size_t place) const;
  bool tells_of_old(std::size_t place) const;
  std::optional<std::string_view> json_of(Image& image, std::size_t place);
  void make(Image& image, std::size_t place, Piece& piece) const;
  void append_columns(std::string& out, const Shown& shown) const;
  void append_record(std::string& out, Image& image, const Shown& shown);

  const Change& change_;
  const Types& types_;
  const bool is_too_large_;
  std::vector<std::size_t> key_order_;  // places of the columns, in the order of their names in jsonb
  Image row_;
  Image before_;
};

// What those are told instead who may not see it: errors 400 and 401.
std::string error_data(const Change& change, std::string_view error);
inline constexpr std::string_view kNoPrimaryKey = "Error 400: Bad Request, no primary key";
inline constexpr std::string_view kUnauthorized = "Error 401: Unauthorized";
inline constexpr std::string_view kTooLarge = "Error 413: Payload Too Large";
inline constexpr std::size_t kSmallValueBytesMax = 64;  // of JSON, which a change that is too large still has

}  // namespace rt::changes
