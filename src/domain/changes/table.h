// Tables and types as the catalog of the tenant's database describes them: what is needed to read, match and render
// their rows.
//
// https://www.postgresql.org/docs/15/catalogs.html
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace rt::changes {

using Oid = std::uint32_t;

// pg_type.typtype.
enum class TypeKind : std::uint8_t { kBase, kComposite, kDomain, kEnum, kRange, kMultirange, kPseudo };

struct TypeField {  // of a composite type, in order, without dropped ones
  std::string name;
  Oid type = 0;
};

struct Type {
  Oid oid = 0;
  std::string name;    // typname: `int4`, `_text`
  std::string schema;  // typnamespace, as a name
  TypeKind kind = TypeKind::kBase;
  char category = 'U';   // typcategory
  Oid element = 0;       // of a true array (typsubscript is that of arrays), int2vector and oidvector; else 0
  char delimiter = ',';  // typdelim of the ELEMENT type, where there is one
  Oid base = 0;          // of a domain, else 0
  std::vector<TypeField> fields{};  // of a composite type
  bool has_json_cast = false;       // there is a cast to json, so Postgres has to convert its values
  std::string sql_name{};  // with its schema, in quotes where needed: for casts in SQL, to the type without modifier
};

class Types {
 public:
  void put(Type type) { types_[type.oid] = std::move(type); }
  void forget(Oid oid) { types_.erase(oid); }
  void clear() { types_.clear(); }
  // Null: not known. Valid until it is put or forgotten.
  const Type* find(Oid oid) const {
    const auto found = types_.find(oid);
    return found == types_.end() ? nullptr : &found->second;
  }
  // Through domains to what they are made of; the same where it is no domain, or one that is not known.
  Oid base_of(Oid oid) const {
    for (int depth = 0; depth < 32; ++depth) {
      const Type* type = find(oid);
      if (type == nullptr || type->kind != TypeKind::kDomain || type->base == 0) return oid;
      oid = type->base;
    }
    return oid;
  }

 private:
  std::unordered_map<Oid, Type> types_;
};

struct TableColumn {
  std::string name;
  std::int16_t number = 0;  // attnum
  Oid type = 0;
  std::int32_t type_modifier = -1;
  std::string type_name;  // typname, as `columns` of an event has it
  std::string type_text;  // format_type(atttypid, atttypmod)
  bool is_primary_key = false;
  bool is_generated = false;  // stored
  std::string expression{};   // of a generated column, as SQL over the columns of its table; else empty
  std::vector<std::int16_t> expression_columns{};  // attnums that it reads
  bool operator==(const TableColumn&) const = default;
};

struct Table {
  Oid oid = 0;
  std::string schema;
  std::string name;
  bool has_row_security = false;         // relrowsecurity
  std::vector<TableColumn> columns;      // in order of attnum, without dropped ones
  std::vector<std::size_t> primary_key;  // places in `columns`, in order of attnum; empty: there is none

  bool operator==(const Table&) const = default;

  // The place in `columns`.
  std::optional<std::size_t> find(std::string_view column) const {
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (columns[i].name == column) return i;
    }
    return std::nullopt;
  }
};

}  // namespace rt::changes
