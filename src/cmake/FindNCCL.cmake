# NCCL, as the target NCCL::NCCL: its header, its library, and the CUDA runtime, whose headers its own includes. Hints, in this order: NCCL_ROOT and CUDA_HOME (cache or environment), CMAKE_PREFIX_PATH, the wheels in
# the checkout's .venv-gpu, the system.

file(GLOB _nccl_wheels ${PROJECT_SOURCE_DIR}/.venv-gpu/lib/python3*/site-packages/nvidia)
set(NCCL_ROOT "$ENV{NCCL_ROOT}" CACHE PATH "Folder that holds NCCL's include/ and lib/")
set(CUDA_HOME "$ENV{CUDA_HOME}" CACHE PATH "Folder that holds the CUDA runtime's include/")

find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${NCCL_ROOT} ${_nccl_wheels}/nccl PATH_SUFFIXES include)
find_library(NCCL_LIBRARY NAMES nccl libnccl.so.2 HINTS ${NCCL_ROOT} ${_nccl_wheels}/nccl PATH_SUFFIXES lib)
find_path(NCCL_CUDA_INCLUDE_DIR cuda_runtime.h
  HINTS ${CUDA_HOME} ${_nccl_wheels}/cu13 /usr/local/cuda PATH_SUFFIXES include)
find_library(NCCL_CUDA_LIBRARY NAMES cudart libcudart.so.13 libcudart.so.12
  HINTS ${CUDA_HOME} ${_nccl_wheels}/cu13 /usr/local/cuda PATH_SUFFIXES lib64 lib)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(NCCL REQUIRED_VARS NCCL_LIBRARY NCCL_INCLUDE_DIR NCCL_CUDA_INCLUDE_DIR NCCL_CUDA_LIBRARY
  REASON_FAILURE_MESSAGE "set NCCL_ROOT and CUDA_HOME, or CMAKE_PREFIX_PATH")

if(NCCL_FOUND AND NOT TARGET NCCL::NCCL)
  add_library(NCCL::NCCL UNKNOWN IMPORTED)
  set_target_properties(NCCL::NCCL PROPERTIES IMPORTED_LOCATION ${NCCL_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES "${NCCL_INCLUDE_DIR};${NCCL_CUDA_INCLUDE_DIR}"
    INTERFACE_LINK_LIBRARIES ${NCCL_CUDA_LIBRARY})
endif()
