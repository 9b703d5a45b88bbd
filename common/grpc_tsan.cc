// What ThreadSanitizer must overlook in programs that use gRPC. The system's libgrpc is not
// instrumented, so that whatever it hands from one thread to another, even inside its own headers,
// looks like a race. Reports in which neither side is gRPC's stay.

#include "common/mutex.h"

#ifdef TOPIARY_THREAD_SANITIZER
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() { return "race:libgrpc\nrace:grpc::\n"; }
#endif
