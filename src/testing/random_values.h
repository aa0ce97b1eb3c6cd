// Random values of Postgres' types, as SQL takes them, with a liking for those that are awkward.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <random>
#include <string>
#include <string_view>

namespace rt::testing {

class RandomValues {
 public:
  explicit RandomValues(unsigned seed) : random_(seed) {}

  int number(int below) { return static_cast<int>(random_() % static_cast<unsigned>(below)); }
  bool happens(int one_in) { return number(one_in) == 0; }
  template <class T>
  T one_of(std::initializer_list<T> all) {
    return all.begin()[number(static_cast<int>(all.size()))];
  }

  // Of a type that is not made of others, by its name (typname). nullopt: it is not known here.
  std::optional<std::string> of_type(std::string_view name);

  std::string text(int parts_max = 12);
  std::string digits(int count);
  std::string whole(int digits_max);  // with a sign, perhaps; not zero
  std::string decimal();
  std::string exact();  // numeric
  std::string floating(int exponent_max);
  std::string date();
  std::string time_of_day();
  std::string timestamp();
  std::string interval();
  std::string hex(int bytes);
  std::string bits(int count);
  std::string point();
  // `bound`: a number.
  std::string range_of_wholes();
  std::string range_of_days();
  std::string range_of_moments();

  // JSON as people write it, and worse. kAny: also what json takes and jsonb does not.
  enum class Json : std::uint8_t { kAny, kForJsonb };
  std::string json(Json kind, int depth = 0);
  std::string white_space();

 private:
  std::string sign() { return happens(2) ? "-" : ""; }
  std::string two_digits(int below, int from = 0);
  std::string json_array(Json kind, int depth);
  std::string json_object(Json kind, int depth);
  std::string json_number(Json kind);
  std::string json_string(Json kind);

  std::mt19937 random_;
};

}  // namespace rt::testing
