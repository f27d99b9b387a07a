#!/bin/sh
# One would guess that the remainder of a division of floats is exact, as fmod's is: 100000000 % 3
# is 1, since 100000000 and 3 are floats and 1 is one too.
#
# WGSL defines x % y as x - y * trunc(x / y), computed in floats, and llvmpipe of Mesa 22.3 gives 0;
# it gives 0 for 7 % 0.1 too, where 0.0999999 remains of the float 0.1. SwiftShader, by other
# arithmetic, gives 1 and 0.0999999. Angles and phases that are wrapped by `%` lose their phase
# silently once x / y needs more than 24 bits, and at exact multiples jump by a whole period from
# one renderer to the other.
#
# Seen on 2026-11-30 with wgpu-py 0.32.0 on Mesa 22.3.6 (LLVM 15.0.6) and SwiftShader, both of
# Debian 12:
#   lavapipe, 1e8 % 3, 7 % 0.1, -7.5 % 3: [0, 0, -1.5]      SwiftShader: [1, 0.0999999, -1.5]
. "$(dirname "$0")/lib/prepare.sh"
prepare wgpu==0.32.0 numpy==2.4.6
tests='
from shader import adapter, evaluate, expect
import sys

told = {"lavapipe": [0, 0, -1.5], "swiftshader": [1, 0.0999999, -1.5]}[sys.argv[1]]
expect(evaluate(adapter("Vulkan"), "a % b", [(1e8, 3), (7, 0.1), (-7.5, 3)]), told, "1e8 % 3, 7 % 0.1, -7.5 % 3")
'
for name in lavapipe swiftshader; do (renderer $name && "$python" -c "$tests" $name); done
