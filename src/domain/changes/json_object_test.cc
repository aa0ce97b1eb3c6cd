#include "domain/changes/json_object.h"

#include <doctest/doctest.h>

namespace rt::changes {
namespace {

// Objects that are written from the inside out, as by somebody who learns of their members one by one.
class Written {
 public:
  void open() {
    out += '{';
    firsts_.push_back(members_.size());
  }
  void key(std::string_view key) {
    if (members_.size() > firsts_.back()) {
      members_.back().end = out.size();
      out += ", ";
    }
    members_.push_back({key, out.size(), 0});
    out.append("\"").append(key).append("\": ");
  }
  void close() {
    if (members_.size() > firsts_.back()) members_.back().end = out.size();
    order.add(out, std::span(members_).subspan(firsts_.back()));
    members_.resize(firsts_.back());
    firsts_.pop_back();
    out += '}';
  }
  std::string take(std::size_t begin = 0) {
    order.apply(out, begin);
    return out;
  }

  std::string out;
  MemberOrder order;

 private:
  std::vector<Member> members_;
  std::vector<std::size_t> firsts_;
};

TEST_CASE("shorter keys come first, and of equal ones the last stays [PC-047]") {
  for (const std::size_t padding : {std::size_t{0}, MemberOrder::kMovedAtOnceMax}) {
    const std::string pad(padding, ' ');
    Written written;
    written.open();
    for (const char* key : {"bb", "a", "ab", "é", "Z", "a", ""}) {
      written.key(key);
      written.out += std::to_string(written.out.size() - pad.size() * (written.out.size() > padding ? 1 : 0));
      if (std::string_view(key) == "bb") written.out += pad;
    }
    written.close();
    CHECK(written.take().starts_with(R"({"": )"));
    const std::string text = written.out;
    CHECK(text.find("\"\": ") < text.find("\"Z\": "));
    CHECK(text.find("\"Z\": ") < text.find("\"a\": "));
    CHECK(text.find("\"a\": ") < text.find("\"ab\": "));
    CHECK(text.find("\"ab\": ") < text.find("\"bb\": "));
    CHECK(text.find("\"bb\": ") < text.find("\"é\": "));
    CHECK(text.find("\"a\": ") == text.rfind("\"a\": "));
  }
}

TEST_CASE("objects within objects are put in order at every depth, and cost no more the deeper they are") {
  constexpr int kDepth = 300;
  const std::string large(std::size_t{1} << 20, 'x');
  Written written;
  written.out = "before ";
  for (int i = 0; i < kDepth; ++i) {
    written.open();
    written.key("later");
  }
  written.out += large;
  for (int i = 0; i < kDepth; ++i) {
    written.key("first");
    written.out += std::to_string(i);
    written.key("z");
    written.out += "0";
    written.close();
  }
  std::string expected = large;
  for (int i = 0; i < kDepth; ++i)
    expected = "{\"z\": 0, \"first\": " + std::to_string(i) + ", \"later\": " + std::move(expected) + "}";
  CHECK(written.take(7) == "before " + expected);
}

TEST_CASE("what is taken back leaves no trace") {
  const std::string pad(MemberOrder::kMovedAtOnceMax, ' ');
  Written written;
  const auto write = [&] {
    written.open();
    written.key("b");
    written.out += "1" + pad;
    written.key("a");
    written.out += "2";
    written.close();
  };
  write();
  const MemberOrder::Mark mark = written.order.mark();
  const std::size_t size = written.out.size();
  write();
  written.order.go_back(mark);
  written.out.resize(size);
  written.out += "[]";
  CHECK(written.take() == "{\"a\": 2, \"b\": 1" + pad + "}[]");
}

}  // namespace
}  // namespace rt::changes
