# LibTorch from the Python wheel (or any unpacked LibTorch): its CPU libraries, and with the component CUDA those
# that register its kernels for GPUs.
#
# The wheel's own TorchConfig.cmake asks for a CUDA toolkit when the wheel was built with CUDA; Lamina links
# only what it calls, so this module makes one imported target, LibTorch::LibTorch, from the files themselves.
# The headers come last (-idirafter): the wheel carries copies of libraries, fmt among them, that must not hide
# the system's.
#
# Hints, in this order: LIBTORCH_ROOT (cache or environment), CMAKE_PREFIX_PATH, the checkout's .venv, or with
# CUDA its .venv-gpu.

set(LIBTORCH_ROOT "$ENV{LIBTORCH_ROOT}" CACHE PATH "Folder that holds LibTorch's include/ and lib/")
set(_libtorch_venv .venv)
if(CUDA IN_LIST LibTorch_FIND_COMPONENTS)
  set(_libtorch_venv .venv-gpu)
endif()
file(GLOB _libtorch_wheel ${PROJECT_SOURCE_DIR}/${_libtorch_venv}/lib/python3*/site-packages/torch)

find_path(LibTorch_INCLUDE_DIR ATen/ATen.h HINTS ${LIBTORCH_ROOT} PATH_SUFFIXES include torch/include NO_DEFAULT_PATH)
find_path(LibTorch_INCLUDE_DIR ATen/ATen.h HINTS ${CMAKE_PREFIX_PATH} ${_libtorch_wheel}
  PATH_SUFFIXES include torch/include NO_DEFAULT_PATH)
find_path(LibTorch_INCLUDE_DIR ATen/ATen.h PATH_SUFFIXES torch/include)
get_filename_component(_libtorch_root "${LibTorch_INCLUDE_DIR}" DIRECTORY)
find_library(LibTorch_CPU_LIBRARY torch_cpu HINTS ${_libtorch_root}/lib NO_DEFAULT_PATH)
find_library(LibTorch_C10_LIBRARY c10 HINTS ${_libtorch_root}/lib NO_DEFAULT_PATH)
find_library(LibTorch_CUDA_LIBRARY torch_cuda HINTS ${_libtorch_root}/lib NO_DEFAULT_PATH)
find_library(LibTorch_C10_CUDA_LIBRARY c10_cuda HINTS ${_libtorch_root}/lib NO_DEFAULT_PATH)
if(LibTorch_CUDA_LIBRARY AND LibTorch_C10_CUDA_LIBRARY)
  set(LibTorch_CUDA_FOUND TRUE)
endif()
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
  HANDLE_COMPONENTS
  REASON_FAILURE_MESSAGE "run launch/setup, or set LIBTORCH_ROOT")

if(LibTorch_FOUND AND NOT TARGET LibTorch::LibTorch)
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  target_compile_options(LibTorch::LibTorch INTERFACE -idirafter ${LibTorch_INCLUDE_DIR})
  target_link_libraries(LibTorch::LibTorch INTERFACE ${LibTorch_CPU_LIBRARY} ${LibTorch_C10_LIBRARY})
endif()
if(LibTorch_FOUND AND CUDA IN_LIST LibTorch_FIND_COMPONENTS)
  # Nothing calls them: they register themselves when they are loaded. The wheels of CUDA's own libraries lie
  # beside the one of LibTorch.
  target_link_libraries(LibTorch::LibTorch INTERFACE
    -Wl,--no-as-needed,${LibTorch_CUDA_LIBRARY},${LibTorch_C10_CUDA_LIBRARY},--as-needed)  # one word: CMake sorts
  file(GLOB _libtorch_cuda_libs ${_libtorch_root}/../nvidia/*/lib)
  foreach(_folder ${_libtorch_cuda_libs})
    target_link_options(LibTorch::LibTorch INTERFACE -Wl,-rpath,${_folder} -Wl,-rpath-link,${_folder})
  endforeach()
endif()
