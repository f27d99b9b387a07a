#!/bin/sh
# One would guess that fract(x) is in [0, 1), so that u32(fract(x) * n) is an index below n.
#
# For a number just below zero, x - floor(x) rounds to 1, and fract is exactly 1 on llvmpipe of Mesa
# 22.3: -1e-9 lands in bin n of n, one beyond the end. What is written there is dropped or, clamped,
# counted in the last bin. SwiftShader returns the largest float below 1 instead, so that a test on
# one renderer says nothing of the other.
#
# Seen on 2026-11-30 with wgpu-py 0.32.0 on Mesa 22.3.6 (LLVM 15.0.6) and SwiftShader, both of
# Debian 12:
#   lavapipe, fract(-1e-9), its bin of 16: [1, 16]     SwiftShader: [0.99999994, 15]
. "$(dirname "$0")/lib/prepare.sh"
prepare wgpu==0.32.0 numpy==2.4.6
tests='
from shader import adapter, evaluate, expect
import sys

on = adapter("Vulkan")
told = {"lavapipe": (1, 16), "swiftshader": (0.99999994, 15)}[sys.argv[1]]
part, bin = (evaluate(on, text, [(-1e-9, 16)])[0] for text in ("fract(a)", "f32(u32(fract(a) * b))"))
print("fract(-1e-9), its bin of 16:", [part, bin])
assert (part == 1) == (told[0] == 1) and bin == told[1], f"changed: was {told}"
'
for name in lavapipe swiftshader; do (renderer $name && "$python" -c "$tests" $name); done
