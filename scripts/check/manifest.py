#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Judges the manifest that `swift package dump-package` writes to standard input; see manifest.sh."""
import glob
import json
import sys

WANTED = {'{"strictMemorySafety": {}}', '{"treatAllWarnings": {"_0": "error"}}'}

# A C library that only who uses that wire should have to install.
NOT_IN_LIBRARIES = {"CLibURing"}

manifest = json.load(sys.stdin)
faults = []
if manifest["swiftLanguageVersions"] != ["6"]:
    faults.append(f"swiftLanguageModes is {manifest['swiftLanguageVersions']}, not [.v6]")
targets = {target["name"]: target for target in manifest["targets"]}
for name, target in targets.items():
    kinds = {json.dumps(setting["kind"]) for setting in target["settings"]}
    if any("unsafeFlags" in kind for kind in kinds):
        faults.append(f"{name}: unsafeFlags makes the package unusable as a dependency; use a named setting")
    if any("swiftLanguageMode" in kind for kind in kinds):
        faults.append(f"{name}: has a language mode of its own")
    folder = target.get("path") or ("Tests/" if target["type"] == "test" else "Sources/") + name
    is_swift = bool(glob.glob(f"{folder}/**/*.swift", recursive=True))
    if is_swift and not WANTED <= kinds:
        faults.append(f"{name}: lacks {', '.join(sorted(WANTED - kinds))}; give it swiftSettings: rules")


def packages(name, seen):
    """Other packages that a target needs; the targets that it needs are in `seen` afterwards."""
    if name in seen:
        return set()
    seen.add(name)
    result = set()
    for dependency in targets[name]["dependencies"]:
        if "product" in dependency:
            result.add(dependency["product"][1])
        else:
            result |= packages((dependency.get("byName") or dependency["target"])[0], seen)
    return result


for product in manifest["products"]:
    if "library" in product["type"]:
        for name in product["targets"]:
            seen = set()
            if needed := packages(name, seen):
                faults.append(f"the library {product['name']} needs {', '.join(sorted(needed))}")
            if unwanted := seen & NOT_IN_LIBRARIES:
                faults.append(f"the library {product['name']} needs {', '.join(sorted(unwanted))}")
print(*(f"Package.swift: {fault}" for fault in faults), sep="\n", end="\n" if faults else "")
sys.exit(1 if faults else 0)
