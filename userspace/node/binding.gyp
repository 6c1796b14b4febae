{
  "targets": [
    {
      "target_name": "agentmem",
      "sources": ["<!@(ls native/*.c libagentmem/src/*.c)"],
      "include_dirs": ["libagentmem/include"],
      "defines": ["_GNU_SOURCE", "NAPI_VERSION=8"],
      "cflags": [
        "-std=gnu11", "-Wall", "-Wextra", "-Wshadow", "-Wno-missing-field-initializers", "-fvisibility=hidden",
        "<!@(node scripts/flags.js compile)"
      ],
      "ldflags": ["-Wl,--version-script=<(module_root_dir)/native/symbols.map"],
      "libraries": ["<!@(node scripts/flags.js link)"]
    }
  ]
}
