# One interface target carries the warnings, so that imported headers never see them.
add_library(lamina_warnings INTERFACE)
target_compile_options(lamina_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wno-unused-parameter)
