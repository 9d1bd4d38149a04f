# LibTorch from the Python wheel (or any unpacked LibTorch), CPU libraries only.
#
# The wheel's own TorchConfig.cmake asks for a CUDA toolkit when the wheel was built with CUDA; Lamina links
# only what it calls, so this module makes one imported target, LibTorch::LibTorch, from the files themselves.
# The headers come last (-idirafter): the wheel carries copies of libraries, fmt among them, that must not hide
# the system's.
#
# Hints, in this order: LIBTORCH_ROOT (cache or environment), CMAKE_PREFIX_PATH, the checkout's .venv.

set(LIBTORCH_ROOT "$ENV{LIBTORCH_ROOT}" CACHE PATH "Folder that holds LibTorch's include/ and lib/")
file(GLOB _libtorch_venv ${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch)

find_path(LibTorch_INCLUDE_DIR ATen/ATen.h
  HINTS ${LIBTORCH_ROOT} ${_libtorch_venv} PATH_SUFFIXES include torch/include NO_DEFAULT_PATH)
find_path(LibTorch_INCLUDE_DIR ATen/ATen.h PATH_SUFFIXES torch/include)
get_filename_component(_libtorch_root "${LibTorch_INCLUDE_DIR}" DIRECTORY)
find_library(LibTorch_CPU_LIBRARY torch_cpu HINTS ${_libtorch_root}/lib NO_DEFAULT_PATH)
find_library(LibTorch_C10_LIBRARY c10 HINTS ${_libtorch_root}/lib NO_DEFAULT_PATH)
if(EXISTS ${_libtorch_root}/version.py)
  file(STRINGS ${_libtorch_root}/version.py _line REGEX "^__version__")
  string(REGEX REPLACE ".*'([^']+)'.*" "\\1" LibTorch_VERSION "${_line}")
elseif(EXISTS ${_libtorch_root}/build-version)
  file(READ ${_libtorch_root}/build-version LibTorch_VERSION)
  string(STRIP "${LibTorch_VERSION}" LibTorch_VERSION)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_INCLUDE_DIR
  VERSION_VAR LibTorch_VERSION
  REASON_FAILURE_MESSAGE "run launch/setup, or set LIBTORCH_ROOT")

if(LibTorch_FOUND AND NOT TARGET LibTorch::LibTorch)
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  target_compile_options(LibTorch::LibTorch INTERFACE -idirafter ${LibTorch_INCLUDE_DIR})
  target_link_libraries(LibTorch::LibTorch INTERFACE ${LibTorch_CPU_LIBRARY} ${LibTorch_C10_LIBRARY})
endif()
