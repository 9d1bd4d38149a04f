# Compiler cache, fast linker, the precompiled header that serves every unit which sees ATen, and units compiled
# together.

# Reading headers and the same templates is most of what a unit costs: six at a time take a third of it. Names in
# anonymous namespaces are hence unique within a layer. The preset `debug` compiles every unit alone.
set(CMAKE_UNITY_BUILD ON CACHE BOOL "Compile units of a target together")
set(CMAKE_UNITY_BUILD_BATCH_SIZE 6)

find_program(CCACHE ccache)
if(CCACHE)
  # The sloppiness is what ccache asks for to cache units that use a precompiled header.
  set(CMAKE_CXX_COMPILER_LAUNCHER
    ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
    ${CCACHE})
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>
    "$<$<CXX_COMPILER_ID:Clang>:SHELL:-Xclang -fno-pch-timestamp>")
endif()

find_program(MOLD mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
endif()

if(LAMINA_SANITIZE)
  add_compile_options(-fsanitize=${LAMINA_SANITIZE} -fno-omit-frame-pointer -g1)
  add_link_options(-fsanitize=${LAMINA_SANITIZE})
  # What it guesses of an object's size the address sanitizer knows; a quarter of the time to compile.
  if(LAMINA_SANITIZE MATCHES address AND LAMINA_SANITIZE MATCHES undefined)
    add_compile_options(-fno-sanitize=object-size)
  endif()
endif()

# ATen's headers cost 10 s a unit; one precompiled copy serves all units of the targets that call this.
function(lamina_use_aten_pch target)
  if(TARGET lamina_aten_pch)
    target_precompile_headers(${target} REUSE_FROM lamina_aten_pch)
  endif()
endfunction()
