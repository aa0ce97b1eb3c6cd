#include "domain/changes/rendering.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "domain/changes/decoded_size.h"
#include "domain/changes/json_normal.h"
#include "domain/changes/json_object.h"
#include "domain/changes/json_string.h"
#include "domain/changes/time_text.h"

namespace rt::changes {
namespace {

bool is_larger(const Change& change, std::size_t bytes_max) {
  return decoded_bytes_bound(change) > bytes_max && decoded_bytes(change) > bytes_max;
}

std::vector<std::size_t> in_key_order(const std::vector<TableColumn>& columns) {
  std::vector<std::size_t> places(columns.size());
  std::iota(places.begin(), places.end(), 0);
  std::sort(places.begin(), places.end(),
            [&](std::size_t a, std::size_t b) { return comes_before(columns[a].name, columns[b].name); });
  return places;
}

// Up to what differs between those who are told.
void append_head(std::string& out, const Change& change) {
  out += R"({"schema":)";
  append_json_string(out, change.schema_name());
  out += R"(,"table":)";
  append_json_string(out, change.table_name());
  out.append(R"(,"type":")").append(name_of(change.action)).append("\"");
}

void append_errors(std::string& out, std::string_view error) {
  out += R"(,"errors":[)";
  append_json_string(out, error);
  out += "]";
}

}  // namespace

RenderedChange::RenderedChange(const Change& change, const Types& types, std::size_t record_bytes_max, Converted row,
                               Converted before)
    : change_(change),
      types_(types),
      is_too_large_(is_larger(change, record_bytes_max)),
      key_order_(in_key_order(change.table->columns)),
      row_{change.row, std::move(row)},
      before_{change.before, std::move(before)} {
  row_.pieces.resize(change.row.size());
  before_.pieces.resize(change.before.size());
}

std::string RenderedChange::data(const Shown& shown) {
  std::string out;
  append_head(out, change_);
  out.append(R"(,"commit_timestamp":")").append(commit_timestamp(change_.committed_micros)).append("\"");
  out += R"(,"columns":)";
  append_columns(out, shown);
  if (change_.action != Action::kDelete) {
    out += R"(,"record":)";
    append_record(out, row_, shown);
  }
  if (change_.action != Action::kInsert) {
    out += R"(,"old_record":)";
    append_record(out, before_, shown);
  }
  if (is_too_large_) {
    append_errors(out, kTooLarge);
  } else {
    out += R"(,"errors":null)";
  }
  return out += "}";
}

bool RenderedChange::is_shown(const Shown& shown, std::size_t place) const {
  return place < shown.size() && shown[place];
}

// Nobody can say whether the recipient could see a row that is gone.
bool RenderedChange::tells_of_old(std::size_t place) const {
  const Table& table = *change_.table;
  return change_.action != Action::kDelete || !table.has_row_security || table.columns[place].is_primary_key;
}

void RenderedChange::append_columns(std::string& out, const Shown& shown) const {
  const std::vector<TableColumn>& columns = change_.table->columns;
  out += '[';
  bool is_first = true;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (!is_shown(shown, i)) continue;
    out += is_first ? R"({"name": )" : R"(, {"name": )";
    append_json_string(out, columns[i].name);
    out += R"(, "type": )";
    append_json_string(out, columns[i].type_name);
    out += '}';
    is_first = false;
  }
  out += ']';
}

void RenderedChange::append_record(std::string& out, Image& image, const Shown& shown) {
  out += '{';
  bool is_first = true;
  for (const std::size_t place : key_order_) {
    if (!is_shown(shown, place) || (&image == &before_ && !tells_of_old(place))) continue;
    const auto json = json_of(image, place);
    if (!json) continue;
    if (!is_first) out += ", ";
    append_json_string(out, change_.table->columns[place].name);
    out.append(": ").append(*json);
    is_first = false;
  }
  out += '}';
}

// nullopt: it is not told. Valid until the next is made.
std::optional<std::string_view> RenderedChange::json_of(Image& image, std::size_t place) {
  if (place >= image.pieces.size()) return std::nullopt;
  Piece& piece = image.pieces[place];
  if (piece.state == Piece::State::kNotMade) make(image, place, piece);
  if (piece.state == Piece::State::kLeftOut) return std::nullopt;
  return std::string_view(image.json).substr(piece.begin, piece.size);
}

void RenderedChange::make(Image& image, std::size_t place, Piece& piece) const {
  piece.state = Piece::State::kLeftOut;
  const Value& value = image.values[place];
  if (!value.is_shown()) return;
  // Of one that is too large neither NULLs are told, nor what only the old row has.
  if (is_too_large_ && value.kind != Value::Kind::kText) return;

  piece.begin = image.json.size();
  if (value.kind == Value::Kind::kNull) {
    image.json += "null";
  } else if (place < image.converted.size() && image.converted[place]) {
    append_jsonb_text(image.json, *image.converted[place], kValueDepthMax);
  } else {
    append_json(image.json, types_, change_.table->columns[place].type, value.text);
  }
  piece.size = image.json.size() - piece.begin;
  if (is_too_large_ && piece.size > kSmallValueBytesMax) {
    image.json.resize(piece.begin);
    return;
  }
  piece.state = Piece::State::kMade;
}

std::string error_data(const Change& change, std::string_view error) {
  std::string out;
  append_head(out, change);
  out += R"(,"commit_timestamp":null,"columns":[])";
  if (change.action != Action::kDelete) out += R"(,"record":{})";
  if (change.action != Action::kInsert) out += R"(,"old_record":{})";
  append_errors(out, error);
  return out += "}";
}

}  // namespace rt::changes
