// What was found in a tenant's database, for people, for psql and for programs.
#pragma once

#include <iosfwd>

#include "io/postgres/settings.h"
#include "main/doctor.h"

namespace rt::app {

bool keeps_from_serving(const Diagnosis& diagnosis);

void print_text(const Diagnosis& diagnosis, const postgres::ConnectionSettings& database, std::ostream& out);
void print_sql(const Diagnosis& diagnosis, std::ostream& out);
void print_json(const Diagnosis& diagnosis, const postgres::ConnectionSettings& database, std::ostream& out);

}  // namespace rt::app
