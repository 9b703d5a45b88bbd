#ifndef TOPIARY_WORKER_MODEL_UTF8_H_
#define TOPIARY_WORKER_MODEL_UTF8_H_

#include "absl/strings/string_view.h"

namespace topiary {

// Whether `text` is well-formed UTF-8 (no overlong forms, no surrogates) without control
// characters: what a name may be.
bool IsPrintableUtf8(absl::string_view text);

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_UTF8_H_
