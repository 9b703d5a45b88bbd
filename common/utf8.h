#ifndef TOPIARY_COMMON_UTF8_H_
#define TOPIARY_COMMON_UTF8_H_

#include <cstddef>

#include "absl/strings/string_view.h"

namespace topiary {

// Bytes of the well-formed UTF-8 sequence (one code point; no overlong form, no surrogate) that
// `text` begins with; 0 if it begins with none, also when it is empty.
size_t Utf8SequenceLength(absl::string_view text);

// Whether `text` is well-formed UTF-8 without control characters: what a name may be.
bool IsPrintableUtf8(absl::string_view text);

}  // namespace topiary

#endif  // TOPIARY_COMMON_UTF8_H_
