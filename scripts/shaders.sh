#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Compiles the shaders of Sources/CVulkanShims/Shaders/ to SPIR-V, which is committed so that building needs no
# compiler for it.
#
#   scripts/shaders.sh          writes Sources/CVulkanShims/CVulkanShaders.c
#   scripts/shaders.sh --check  says whether that is what the sources give
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/common.sh
. "$(dirname "$0")/lib/common.sh"
cd "$(repo_root)"
scripts/install-deps.sh vulkan
written=Sources/CVulkanShims/CVulkanShaders.c
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT

for shader in Sources/CVulkanShims/Shaders/*.comp; do
  name="$(basename "$shader" .comp)"
  glslangValidator -V --quiet --target-env vulkan1.1 "$shader" -o "$folder/$name.spv" >"$folder/log" ||
    { cat "$folder/log" >&2 && die "$shader does not compile"; }
  spirv-val --target-env vulkan1.1 "$folder/$name.spv"
done
python3 - "$folder" >"$folder/CVulkanShaders.c" <<'END'
import glob, os, struct, sys

print("""// SPDX-License-Identifier: Apache-2.0
// Made by scripts/shaders.sh of Shaders/*.comp.
#include "include/CVulkanShims.h"
""")
names = []
for path in sorted(glob.glob(sys.argv[1] + "/*.spv")):
    data = open(path, "rb").read()
    words = list(struct.unpack(f"<{len(data) // 4}I", data))
    # Which compiler it was, in which version: the code is the same.
    words[2] = 0
    name = os.path.basename(path)[:-4]
    names.append((name, len(words)))
    print(f"static const uint32_t {name}_words[] = {{")
    for start in range(0, len(words), 8):
        print("  " + " ".join(f"0x{word:08x}," for word in words[start:start + 8]))
    print("};\n")
print("static const struct cvulkan_code codes[] = {")
for name, count in names:
    print(f'  {{"{name}", {name}_words, {count}}},')
print(f"}};\nconst size_t cvulkan_code_count = {len(names)};\n")
print("const struct cvulkan_code *cvulkan_code_list(void) { return codes; }")
END
if [ "${1:-}" = --check ]; then
  diff -u "$written" "$folder/CVulkanShaders.c" | head -n 20 ||
    die "$written is not what the shaders give; scripts/shaders.sh writes it"
else
  mv "$folder/CVulkanShaders.c" "$written"
  say "$written is written"
fi
