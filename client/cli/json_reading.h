#ifndef TOPIARY_CLIENT_CLI_JSON_READING_H_
#define TOPIARY_CLIENT_CLI_JSON_READING_H_

#include <string>

#include "nlohmann/json.hpp"

// Reading reports, which others wrote, as cells of tables. Never throws: what is missing or of
// another type is empty, 0, "-" or "not a number". Text is made printable.
namespace topiary {

using Json = nlohmann::json;

// The member, or null.
const Json& Get(const Json& object, const char* key);

std::string Text(const Json& value);
double Number(const Json& value);
std::string Count(const Json& value);
std::string Bytes(const Json& value);

// A seed, with all digits: seeds that differ must look it.
std::string SeedText(const Json& seed);

// The value of the metric of this name.
std::string Metric(const std::string& name, const Json& value);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_JSON_READING_H_
