# One interface target carries the warnings, so that imported headers never see them.
add_library(lamina_warnings INTERFACE)
target_compile_options(lamina_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wno-unused-parameter)
# Of units that are compiled together g++ takes all but the first for headers, whose classes should hold nothing without linkage.
target_compile_options(lamina_warnings INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
