"""What the inner loops of each instruction set are compiled with."""

ISA_COPTS = {
    "avx2": [
        "-mavx2",
        "-mfma",
    ],
    "avx512": [
        "-mavx512f",
        "-mavx512bw",
        "-mavx512dq",
        "-mavx512vl",
        "-mfma",
        # GCC 12 takes the undefined vectors in its own intrinsics for a mistake.
        "-Wno-maybe-uninitialized",
        "-Wno-uninitialized",
    ],
    "portable": [],
}
