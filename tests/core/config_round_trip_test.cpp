// Whatever a config struct holds, its YAML text reads back to it.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "lamina/core/config.hpp"

namespace lamina {
namespace {

struct Inner {
  std::string text;
  IntOrAuto maybe;
  bool operator==(const Inner&) const = default;
  void visit(FieldVisitor& v) {
    v.field("text", &text, "");
    v.field("maybe", &maybe, "");
  }
};

struct Extra {
  std::int64_t number = 3;
  WordOrLists leaps = std::string("auto");
  bool operator==(const Extra&) const = default;
  void visit(FieldVisitor& v) {
    v.field("number", &number, "");
    v.field("leaps", &leaps, "", one_of({"auto", "next"}));
  }
};

struct Outer {
  bool flag = false;
  std::int64_t number = 0;
  double fraction = 0;
  Inner inner;
  IntOrList one_or_many;
  IntLists lists;
  bool has_extra = false;
  Extra extra{};
  bool operator==(const Outer&) const = default;
  void visit(FieldVisitor& v) {
    v.field("flag", &flag, "");
    v.section("inner", inner);
    v.field("number", &number, "");
    v.field("fraction", &fraction, "");
    v.field("one_or_many", &one_or_many, "");
    v.field("lists", &lists, "");
    v.optional_section("extra", extra, has_extra);
  }
};

Outer read_back(Outer config) {
  ConfigText text = ConfigText::from_text(to_yaml(list_fields(config)), "printed");
  Outer read;
  Problems problems;
  text.fill(read, problems);
  text.raise(problems);
  return read;
}

/// Values of every field, drawn so that extremes are as likely as ordinary ones.
class Draw {
 public:
  explicit Draw(unsigned seed) : random_(seed) {}

  Outer outer() {
    Outer config{.flag = below(2) == 1,
                 .number = integer(),
                 .fraction = fraction(),
                 .inner = {.text = text(), .maybe = std::nullopt},
                 .one_or_many = integer(),
                 .lists = {},
                 .has_extra = below(2) == 1};
    if (below(2) == 1) config.inner.maybe = integer();
    if (below(2) == 1) config.one_or_many = integers();
    for (std::size_t i = below(4); i > 0; --i) config.lists.push_back(integers());
    if (config.has_extra) config.extra = {.number = integer(), .leaps = leaps()};
    return config;
  }

 private:
  std::size_t below(std::size_t end) { return random_() % end; }
  std::int64_t integer() { return static_cast<std::int64_t>(random_()) >> below(64); }
  std::vector<std::int64_t> integers() {
    std::vector<std::int64_t> values(below(4));
    for (std::int64_t& value : values) value = integer();
    return values;
  }
  WordOrLists leaps() {
    if (below(3) == 0) return std::string(below(2) == 0 ? "auto" : "next");
    std::vector<IntLists> lists(below(4));
    for (IntLists& list : lists)
      for (std::size_t i = below(4); i > 0; --i) list.push_back(integers());
    return lists;
  }
  double fraction() {
    const double value = std::bit_cast<double>(random_());
    return std::isfinite(value) ? value : 0.1;
  }
  std::string text() {
    static const std::vector<std::string> kPieces = {
        "a",      "Z",      "7",      " ",          "  ",
        "_",      "-",      ".",      "/",          "\\",
        "\"",     "'",      "#",      " #",         ":",
        ": ",     ",",      "[",      "]",          "{",
        "}",      "&",      "*",      "!",          "|",
        ">",      "%",      "@",      "`",          "?",
        "~",      "=",      "<<",     "\n",         "\t",
        "\r",     "\x01",   "\x7f",   "---",        "...",
        "null",   "true",   "auto",   "1e3",        "\u00e9",
        "\u6f22", "\u2028", "\u0085", "\U0001f600", std::string(1, '\0')};
    std::string value;
    for (std::size_t i = below(6); i > 0; --i) value += kPieces[below(kPieces.size())];
    return value;
  }

  std::mt19937_64 random_;
};

TEST(ConfigRoundTrip, ReturnsWhatWasPrinted) {
  Draw draw(1);
  for (int trial = 0; trial < 2000; ++trial) {
    Outer config = draw.outer();
    ASSERT_EQ(read_back(config), config) << "printed as:\n" << to_yaml(list_fields(config));
  }
}

TEST(ConfigRoundTrip, KeepsTheExtremesOfNumbers) {
  using Integers = std::numeric_limits<std::int64_t>;
  using Doubles = std::numeric_limits<double>;
  for (const std::int64_t number : {Integers::min(), Integers::max(), std::int64_t{0}}) {
    for (const double fraction :
         {Doubles::min(), Doubles::max(), Doubles::denorm_min(), Doubles::epsilon(), -0.0}) {
      const Outer read =
          read_back({.number = number, .fraction = fraction, .inner = {}, .one_or_many = {}, .lists = {}});
      EXPECT_EQ(read.number, number);
      EXPECT_EQ(std::bit_cast<std::uint64_t>(read.fraction), std::bit_cast<std::uint64_t>(fraction))
          << fraction;
    }
  }
}

TEST(ConfigRoundTrip, PrintsTheWordNoneForASectionThatIsNotThere) {
  Outer config{.inner = {}, .one_or_many = {}, .lists = {}};
  EXPECT_NE(to_yaml(list_fields(config)).find("extra: none\n"), std::string::npos);
  config.has_extra = true;
  EXPECT_NE(to_yaml(list_fields(config)).find("extra:\n  number: 3\n  leaps: auto\n"), std::string::npos);
}

TEST(ConfigRoundTrip, PrintsNumbersAsShortAsTheyCanBe) {
  Outer config{.fraction = 0.1, .inner = {}, .one_or_many = {}, .lists = {}};
  EXPECT_NE(to_yaml(list_fields(config)).find("fraction: 0.1\n"), std::string::npos);
}

}  // namespace
}  // namespace lamina
