#include "protocol/pgoutput/messages.h"

#include "protocol/pgoutput/reader.h"

namespace rt::pgoutput {
namespace {

// A field needs at least the byte of its kind, a column those of its lengths.
constexpr std::size_t kColumnBytesMin = 1 + 1 + 4 + 4;

Row read_row(Reader& in, std::vector<Field>& out) {
  out.clear();
  const auto count = in.integer<std::uint16_t>();
  if (count > in.left()) {
    in.take(in.left() + 1);
    return {};
  }
  out.reserve(count);
  for (unsigned i = 0; i < count && !in.is_broken(); ++i) {
    const auto kind = in.integer<std::uint8_t>();
    if (kind == 'n') {
      out.push_back({FieldKind::kNull, {}});
    } else if (kind == 'u') {
      out.push_back({FieldKind::kUnchanged, {}});
    } else if (kind == 't' || kind == 'b') {
      const auto size = in.integer<std::uint32_t>();
      out.push_back({kind == 't' ? FieldKind::kText : FieldKind::kBinary, in.take(size)});
    } else {
      in.take(in.left() + 1);
    }
  }
  return out;
}

Relation read_relation(Reader& in, std::vector<Column>& columns) {
  Relation out{.id = in.integer<std::uint32_t>(), .schema = in.text(), .name = in.text(), .columns = {}};
  in.integer<std::uint8_t>();  // replica identity
  const auto count = in.integer<std::uint16_t>();
  columns.clear();
  if (count > in.left() / kColumnBytesMin) {
    in.take(in.left() + 1);
    return out;
  }
  columns.reserve(count);
  for (unsigned i = 0; i < count && !in.is_broken(); ++i) {
    Column& column = columns.emplace_back();
    column.is_key = (in.integer<std::uint8_t>() & 1) != 0;
    column.name = in.text();
    column.type = in.integer<std::uint32_t>();
    column.type_modifier = static_cast<std::int32_t>(in.integer<std::uint32_t>());
  }
  out.columns = columns;
  return out;
}

Truncate read_truncate(Reader& in) {
  const auto count = in.integer<std::uint32_t>();
  in.integer<std::uint8_t>();  // CASCADE, RESTART IDENTITY
  Truncate out;
  for (std::uint32_t i = 0; i < count && !in.is_broken(); ++i) out.relations.push_back(in.integer<std::uint32_t>());
  return out;
}

}  // namespace

Result<Message> Parser::parse(std::string_view bytes) {
  Reader in(bytes);
  const auto kind = in.integer<std::uint8_t>();
  Message out = Other{};
  switch (kind) {
    case 'B': {
      Begin begin{.commit = {in.integer<std::uint64_t>()}};
      begin.committed_micros = static_cast<std::int64_t>(in.integer<std::uint64_t>());
      begin.transaction = in.integer<std::uint32_t>();
      out = begin;
      break;
    }
    case 'C': {
      in.integer<std::uint8_t>();  // flags
      Commit commit{.commit = {in.integer<std::uint64_t>()}, .end = {}};
      commit.end = {in.integer<std::uint64_t>()};
      in.integer<std::uint64_t>();  // when
      out = commit;
      break;
    }
    case 'R':
      out = read_relation(in, columns_);
      break;
    case 'I': {
      Insert insert{.relation = in.integer<std::uint32_t>(), .row = {}};
      if (in.integer<std::uint8_t>() != 'N') return fail("an insert without a row");
      insert.row = read_row(in, row_);
      out = insert;
      break;
    }
    case 'U': {
      Update update{.relation = in.integer<std::uint32_t>(), .before = {}, .row = {}};
      auto part = in.integer<std::uint8_t>();
      if (part == 'K' || part == 'O') {
        update.before = read_row(in, before_);
        part = in.integer<std::uint8_t>();
      }
      if (part != 'N') return fail("an update without a row");
      update.row = read_row(in, row_);
      out = update;
      break;
    }
    case 'D': {
      Delete deletion{.relation = in.integer<std::uint32_t>(), .before = {}};
      const auto part = in.integer<std::uint8_t>();
      if (part != 'K' && part != 'O') return fail("a delete without a row");
      deletion.before = read_row(in, before_);
      out = deletion;
      break;
    }
    case 'T':
      out = read_truncate(in);
      break;
    case 'O':
    case 'Y':
    case 'M':
      return out;
    default:
      return fail("a message of an unknown kind in the changes of a transaction");
  }
  if (in.is_broken() || in.left() > 0) return fail("a message of wrong length in the changes of a transaction");
  return out;
}

}  // namespace rt::pgoutput
