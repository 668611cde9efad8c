# Source builds (`npx node-gyp rebuild`) and prebuilds. Sources and flags come from src-native/sources.txt, as in
# CMakeLists.txt. Strict warnings belong to the CMake build only: a user's newer compiler must not fail on a new warning.
{
  "targets": [
    {
      "target_name": "virtio_fs",
      "sources": ["<!@(node scripts/source-list.mjs core)", "<!@(node scripts/source-list.mjs addon)"],
      "include_dirs": ["src-native", "<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": [
        "<!@(node scripts/source-list.mjs defines)",
        "<!@(node scripts/source-list.mjs addon-defines)"
      ],
      # Node's common.gypi asks for an older C++; which one depends on the version of Node.
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
      "cflags_cc": ["-std=c++20", "<!@(node scripts/source-list.mjs flags)"],
      "ldflags": ["<!@(node scripts/source-list.mjs link-flags)"],
      "configurations": {
        # Fortified functions need the optimiser. Undefined first: distributions predefine other levels.
        "Release": {"cflags": ["-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"]}
      },
      "conditions": [["OS!='linux'", {"type": "none"}]]
    }
  ]
}
