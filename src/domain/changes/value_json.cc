#include "domain/changes/value_json.h"

#include <algorithm>
#include <cstdint>
#include <span>
#include <unordered_set>
#include <vector>

#include "domain/changes/array_text.h"
#include "domain/changes/builtin_types.h"
#include "domain/changes/json_normal.h"
#include "domain/changes/json_object.h"
#include "domain/changes/json_string.h"
#include "domain/changes/number_text.h"
#include "domain/changes/record_text.h"
#include "domain/changes/time_text.h"

namespace rt::changes {
namespace {

constexpr std::string_view kHexPrefix = "\\x";

enum class Form : std::uint8_t { kString, kBoolean, kNumber, kTimestamp, kJson, kJsonb, kArray, kVector, kComposite };

// How the values of a type are told. Domains were seen through.
struct Shape {
  Form form = Form::kString;
  const Type* type = nullptr;  // of kArray and kComposite
  Oid element = 0;             // of kVector
};

Shape shape_of(const Types& types, Oid declared) {
  const Oid oid = types.base_of(declared);
  if (is_number(oid)) return {Form::kNumber};
  switch (oid) {
    case kBoolOid:
      return {Form::kBoolean};
    case kTimestampOid:
    case kTimestampTzOid:
      return {Form::kTimestamp};
    case kJsonOid:
      return {Form::kJson};
    case kJsonbOid:
      return {Form::kJsonb};
    case kInt2VectorOid:
      return {Form::kVector, nullptr, kInt2Oid};
    case kOidVectorOid:
      return {Form::kVector, nullptr, kOidOid};
    default:
      break;
  }
  const Type* const type = types.find(oid);
  if (type == nullptr) return {};
  if (type->element != 0) return {Form::kArray, type};
  if (type->kind == TypeKind::kComposite) return {Form::kComposite, type};
  return {};
}

class Writer {
 public:
  Writer(std::string& out, const Types& types) : out_(out), types_(types) {}

  void write(const Shape& shape, std::string_view text);

 private:
  void value(const Shape& shape, std::string_view text);
  // False: the text is not what the type writes. Whatever was written in vain is taken back.
  bool fits(const Shape& shape, std::string_view text);
  bool array(const Type& type, std::string_view text);
  bool vector(Oid element, std::string_view text);
  bool composite(const Type& type, std::string_view text);
  bool parts(const Shape& shape, std::string_view text);
  bool boolean(std::string_view text);
  bool timestamp(std::string_view text);

  std::string& out_;
  const Types& types_;
  std::vector<Member> members_;  // of all composite values that are being written
  MemberOrder order_;
  int type_depth_ = 0;
  int depth_ = 0;
};

void Writer::write(const Shape& shape, std::string_view text) {
  const std::size_t begin = out_.size();
  value(shape, text);
  order_.apply(out_, begin);
}

void Writer::value(const Shape& shape, std::string_view text) {
  const std::size_t begin = out_.size();
  const MemberOrder::Mark mark = order_.mark();
  if (fits(shape, text)) return;
  out_.resize(begin);
  order_.go_back(mark);
  append_json_string(out_, text);
}

bool Writer::fits(const Shape& shape, std::string_view text) {
  switch (shape.form) {
    case Form::kString:
      return false;
    case Form::kBoolean:
      return boolean(text);
    case Form::kNumber:
      return append_number(out_, text);
    case Form::kTimestamp:
      return timestamp(text);
    case Form::kJson:
      append_json_text(out_, text, kValueDepthMax - depth_);
      return true;
    case Form::kJsonb:
      append_jsonb_text(out_, text, kValueDepthMax - depth_);
      return true;
    case Form::kArray:
    case Form::kVector:
    case Form::kComposite:
      return parts(shape, text);
  }
  return false;
}

bool Writer::boolean(std::string_view text) {
  if (text != "t" && text != "f") return false;
  out_ += text == "t" ? "true" : "false";
  return true;
}

bool Writer::timestamp(std::string_view text) {
  out_ += '"';
  if (!append_timestamp(out_, text)) return false;
  out_ += '"';
  return true;
}

bool Writer::parts(const Shape& shape, std::string_view text) {
  if (type_depth_ == kTypeDepthMax) return false;
  const std::size_t members = members_.size();
  const int depth = depth_;
  ++type_depth_;
  const bool fit = shape.form == Form::kArray    ? array(*shape.type, text)
                   : shape.form == Form::kVector ? vector(shape.element, text)
                                                 : composite(*shape.type, text);
  --type_depth_;
  depth_ = depth;
  members_.resize(members);
  return fit;
}

bool Writer::array(const Type& type, std::string_view text) {
  const Shape element = shape_of(types_, type.element);
  ArrayReader in(text, type.delimiter);
  for (;;) {
    const ArrayReader::Step step = in.next();
    if (in.has_predecessor()) out_ += ", ";
    switch (step) {
      case ArrayReader::Step::kOpen:
        if (++depth_ > kValueDepthMax) return false;
        out_ += '[';
        break;
      case ArrayReader::Step::kClose:
        --depth_;
        out_ += ']';
        break;
      case ArrayReader::Step::kElement:
        value(element, in.element());
        break;
      case ArrayReader::Step::kNull:
        out_ += "null";
        break;
      case ArrayReader::Step::kEnd:
        return true;
      case ArrayReader::Step::kBroken:
        return false;
    }
  }
}

// int2vector and oidvector: `1 2 3`.
bool Writer::vector(Oid element_type, std::string_view text) {
  const Shape element = shape_of(types_, element_type);
  if (++depth_ > kValueDepthMax) return false;
  out_ += '[';
  for (std::size_t begin = 0; !text.empty() && begin <= text.size();) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    if (end == begin) return false;
    if (begin > 0) out_ += ", ";
    value(element, text.substr(begin, end - begin));
    begin = end + 1;
  }
  out_ += ']';
  return true;
}

bool Writer::composite(const Type& type, std::string_view text) {
  if (++depth_ > kValueDepthMax) return false;
  const std::size_t first = members_.size();
  RecordReader in(text);
  out_ += '{';
  for (const TypeField& field : type.fields) {
    const RecordReader::Step step = in.next();
    if (step == RecordReader::Step::kBroken) return false;
    if (members_.size() > first) out_ += ", ";
    const std::size_t begin = out_.size();
    append_json_string(out_, field.name);
    out_ += ": ";
    if (step == RecordReader::Step::kNull) {
      out_ += "null";
    } else {
      value(shape_of(types_, field.type), in.field());
    }
    members_.push_back({field.name, begin, out_.size()});
  }
  if (!in.is_complete(type.fields.size())) return false;
  order_.add(out_, std::span(members_).subspan(first));
  out_ += '}';
  return true;
}

// What one type is made of, to be looked at in turn.
void add_parts(const Type& type, std::vector<Oid>& parts) {
  if (type.base != 0) parts.push_back(type.base);
  if (type.element != 0) parts.push_back(type.element);
  for (const TypeField& field : type.fields) parts.push_back(field.type);
}

}  // namespace

bool needs_conversion(const Types& types, Oid oid) {
  std::vector<Oid> to_see{oid};
  std::unordered_set<Oid> seen;
  while (!to_see.empty()) {
    const Oid part = to_see.back();
    to_see.pop_back();
    const Type* const type = types.find(part);
    if (type == nullptr || !seen.insert(part).second) continue;
    if (type->has_json_cast) return true;
    add_parts(*type, to_see);
  }
  return false;
}

void append_json(std::string& out, const Types& types, Oid type, std::string_view text) {
  if (is_number(type) && is_no_finite_number(text)) {
    out += "null";
    return;
  }
  if (type == kByteaOid && text.starts_with(kHexPrefix)) text.remove_prefix(kHexPrefix.size());
  append_nested_json(out, types, type, text);
}

void append_nested_json(std::string& out, const Types& types, Oid type, std::string_view text) {
  Writer(out, types).write(shape_of(types, type), text);
}

}  // namespace rt::changes
