// What the C library does with memory that was freed.
#ifndef TOPIARY_COMMON_LARGE_MEMORY_H_
#define TOPIARY_COMMON_LARGE_MEMORY_H_

namespace topiary {

// From now on freed memory of a mebibyte and more (weights, activations) goes back to the system at
// once. By default the C library keeps ever larger pieces, up to 32 MiB, once some were freed, so
// that a process holds weights that it has let go of. To be called once, before threads start.
void ReturnLargeMemory();

}  // namespace topiary

#endif  // TOPIARY_COMMON_LARGE_MEMORY_H_
