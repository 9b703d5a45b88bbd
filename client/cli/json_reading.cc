#include "client/cli/json_reading.h"

#include <cmath>
#include <cstdint>
#include <limits>

#include "client/cli/format.h"

namespace topiary {

const Json& Get(const Json& object, const char* key) {
  static const Json* const kNothing = new Json();
  if (!object.is_object()) return *kNothing;
  const auto found = object.find(key);
  return found == object.end() ? *kNothing : *found;
}

std::string Text(const Json& value) {
  return value.is_string() ? Printable(value.get_ref<const std::string&>()) : "";
}

double Number(const Json& value) {
  return value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN();
}

std::string Count(const Json& value) {
  const double number = Number(value);
  return std::abs(number) < 9e18 ? FormatCount(static_cast<int64_t>(number)) : "-";
}

std::string Bytes(const Json& value) {
  const double number = Number(value);
  return number >= 0 && number < 9e18 ? FormatBytes(static_cast<int64_t>(number)) : "-";
}

std::string SeedText(const Json& seed) {
  return seed.is_number_integer() ? seed.dump() : FormatNumber(Number(seed));
}

std::string Metric(const std::string& name, const Json& value) {
  const bool ratio = name == "accuracy" || name == "top5_accuracy";
  return ratio ? FormatPercent(Number(value)) : FormatNumber(Number(value));
}

}  // namespace topiary
