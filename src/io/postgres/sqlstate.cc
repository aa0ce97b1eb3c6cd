#include "io/postgres/sqlstate.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace rt::postgres {
namespace {

// In order. Those that a statement of ours, a type, a policy or a function of the user can end with.
constexpr std::pair<std::string_view, std::string_view> kConditions[] = {
    {"08000", "connection_exception"},
    {"08003", "connection_does_not_exist"},
    {"08006", "connection_failure"},
    {"0A000", "feature_not_supported"},
    {"0L000", "invalid_grantor"},
    {"0P000", "invalid_role_specification"},
    {"20000", "case_not_found"},
    {"21000", "cardinality_violation"},
    {"22000", "data_exception"},
    {"22001", "string_data_right_truncation"},
    {"22003", "numeric_value_out_of_range"},
    {"22004", "null_value_not_allowed"},
    {"22007", "invalid_datetime_format"},
    {"22008", "datetime_field_overflow"},
    {"22009", "invalid_time_zone_displacement_value"},
    {"22011", "substring_error"},
    {"22012", "division_by_zero"},
    {"22015", "interval_field_overflow"},
    {"22018", "invalid_character_value_for_cast"},
    {"22019", "invalid_escape_character"},
    {"2201B", "invalid_regular_expression"},
    {"22021", "character_not_in_repertoire"},
    {"22023", "invalid_parameter_value"},
    {"22024", "unterminated_c_string"},
    {"22025", "invalid_escape_sequence"},
    {"22026", "string_data_length_mismatch"},
    {"2202E", "array_subscript_error"},
    {"22030", "duplicate_json_object_key_value"},
    {"22032", "invalid_json_text"},
    {"22P01", "floating_point_exception"},
    {"22P02", "invalid_text_representation"},
    {"22P03", "invalid_binary_representation"},
    {"22P05", "untranslatable_character"},
    {"23000", "integrity_constraint_violation"},
    {"23502", "not_null_violation"},
    {"23503", "foreign_key_violation"},
    {"23505", "unique_violation"},
    {"23514", "check_violation"},
    {"25006", "read_only_sql_transaction"},
    {"25P02", "in_failed_sql_transaction"},
    {"25P03", "idle_in_transaction_session_timeout"},
    {"28000", "invalid_authorization_specification"},
    {"28P01", "invalid_password"},
    {"38000", "external_routine_exception"},
    {"39000", "external_routine_invocation_exception"},
    {"3D000", "invalid_catalog_name"},
    {"3F000", "invalid_schema_name"},
    {"40001", "serialization_failure"},
    {"40P01", "deadlock_detected"},
    {"42501", "insufficient_privilege"},
    {"42601", "syntax_error"},
    {"42602", "invalid_name"},
    {"42622", "name_too_long"},
    {"42701", "duplicate_column"},
    {"42702", "ambiguous_column"},
    {"42703", "undefined_column"},
    {"42704", "undefined_object"},
    {"42710", "duplicate_object"},
    {"42723", "duplicate_function"},
    {"42725", "ambiguous_function"},
    {"42803", "grouping_error"},
    {"42804", "datatype_mismatch"},
    {"42809", "wrong_object_type"},
    {"42846", "cannot_coerce"},
    {"42883", "undefined_function"},
    {"42P01", "undefined_table"},
    {"42P02", "undefined_parameter"},
    {"42P07", "duplicate_table"},
    {"42P13", "invalid_function_definition"},
    {"42P17", "invalid_object_definition"},
    {"42P18", "indeterminate_datatype"},
    {"42P21", "collation_mismatch"},
    {"42P22", "indeterminate_collation"},
    {"53000", "insufficient_resources"},
    {"53100", "disk_full"},
    {"53200", "out_of_memory"},
    {"53300", "too_many_connections"},
    {"53400", "configuration_limit_exceeded"},
    {"54000", "program_limit_exceeded"},
    {"54001", "statement_too_complex"},
    {"55000", "object_not_in_prerequisite_state"},
    {"55006", "object_in_use"},
    {"55P03", "lock_not_available"},
    {"57014", "query_canceled"},
    {"57P01", "admin_shutdown"},
    {"57P02", "crash_shutdown"},
    {"57P03", "cannot_connect_now"},
    {"58000", "system_error"},
    {"58030", "io_error"},
    {"P0000", "plpgsql_error"},
    {"P0001", "raise_exception"},
    {"P0002", "no_data_found"},
    {"P0003", "too_many_rows"},
    {"P0004", "assert_failure"},
    {"XX000", "internal_error"},
    {"XX001", "data_corrupted"},
    {"XX002", "index_corrupted"},
};
static_assert(std::ranges::is_sorted(kConditions));

std::string_view find(std::string_view sqlstate) {
  const auto* const found =
      std::ranges::lower_bound(kConditions, sqlstate, {}, &std::pair<std::string_view, std::string_view>::first);
  return found != std::end(kConditions) && found->first == sqlstate ? found->second : std::string_view();
}

}  // namespace

std::string_view condition_name(std::string_view sqlstate) {
  if (const std::string_view name = find(sqlstate); !name.empty()) return name;
  if (sqlstate.size() != 5) return "other";
  const char of_class[] = {sqlstate[0], sqlstate[1], '0', '0', '0'};
  const std::string_view name = find({of_class, sizeof of_class});
  return name.empty() ? "other" : name;
}

}  // namespace rt::postgres
