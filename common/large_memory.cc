#include "common/large_memory.h"

#include <malloc.h>

namespace topiary {

void ReturnLargeMemory() { mallopt(M_MMAP_THRESHOLD, 1 << 20); }

}  // namespace topiary
