#ifndef TOPIARY_COMMON_VERSION_H_
#define TOPIARY_COMMON_VERSION_H_

namespace topiary {

// What --version, topiary_build_info and the producer field of a model file say.
inline constexpr char kVersion[] = "0.1.0";

}  // namespace topiary

#endif  // TOPIARY_COMMON_VERSION_H_
