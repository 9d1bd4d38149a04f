# cmake --install, and a Debian package by CPack.
#
#   bin/lamina               finds its libraries from where it stands, so that the tree may be moved
#   bin/lamina-run, ...      links to the scripts in share/lamina/launch
#   lib/lamina/libtorch/     LibTorch's libraries (LAMINA_BUNDLE_LIBTORCH)
#   share/lamina/            launch, cluster and configs, beside each other as in a checkout
#   share/doc/lamina/        README.md and docs
#   share/man, share/bash-completion
#                            written by the installed program as it is installed, so that they cannot be of another
#
# There is no library to install: the headers are contracts between the layers and promise nothing to other programs.

option(LAMINA_BUNDLE_LIBTORCH
  "Install LibTorch's libraries beside the program; otherwise it looks for all libraries where the build found them" ON)
if(LAMINA_CUDA)
  set(LAMINA_BUNDLE_LIBTORCH OFF)  # gigabytes, some of which are opened by name while it runs
endif()
set(LAMINA_PACKAGE_CONTACT "The Lamina maintainers <maintainers@lamina.invalid>" CACHE STRING
  "Maintainer of the Debian package, NAME <ADDRESS>")

set(CMAKE_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)  # tests and benchmarks are not installed
set(lamina_libraries lib/lamina/libtorch)  # not in lib/lamina itself, where CPack would take them for public ones
set(lamina_share share/lamina)
set(lamina_doc share/doc/lamina)

if(LAMINA_BUNDLE_LIBTORCH)
  set_target_properties(lamina PROPERTIES INSTALL_RPATH "$ORIGIN/../${lamina_libraries}")
else()
  # CMake's own list leaves out what lies within the checkout, as the virtual environment does.
  get_filename_component(_libraries ${LibTorch_CPU_LIBRARY} DIRECTORY)
  set_target_properties(lamina PROPERTIES INSTALL_RPATH ${_libraries} INSTALL_RPATH_USE_LINK_PATH ON)
endif()
install(TARGETS lamina RUNTIME_DEPENDENCY_SET lamina_needs DESTINATION bin)
if(LAMINA_BUNDLE_LIBTORCH)
  # Everything that comes from LibTorch's folder, or from NVIDIA's beside it; the rest is the system's.
  get_filename_component(_torch ${LibTorch_INCLUDE_DIR} DIRECTORY)
  install(RUNTIME_DEPENDENCY_SET lamina_needs DESTINATION ${lamina_libraries}
    POST_INCLUDE_REGEXES "^${_torch}/lib/" "/nvidia/.*/lib/" POST_EXCLUDE_REGEXES ".*")
  file(GLOB _licences ${_torch}/../torch-*.dist-info/licenses/LICENSE)
  install(FILES ${_licences} DESTINATION ${lamina_doc} RENAME LICENSE.LibTorch)
endif()

install(PROGRAMS launch/run launch/report launch/fetch_data DESTINATION ${lamina_share}/launch)
install(DIRECTORY launch/ DESTINATION ${lamina_share}/launch FILES_MATCHING PATTERN "*.py" PATTERN __pycache__ EXCLUDE)
install(DIRECTORY cluster DESTINATION ${lamina_share} USE_SOURCE_PERMISSIONS PATTERN image EXCLUDE)
install(DIRECTORY configs DESTINATION ${lamina_share})
install(DIRECTORY docs DESTINATION ${lamina_doc} FILES_MATCHING PATTERN "*.md" PATTERN "*.png" PATTERN "*.csv")
install(FILES README.md DESTINATION ${lamina_doc})
install(FILES src/package/copyright DESTINATION ${lamina_doc})
install(CODE "execute_process(COMMAND_ERROR_IS_FATAL ANY COMMAND
  \"${PROJECT_SOURCE_DIR}/src/package/finish\" \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}\" ${PROJECT_VERSION})")

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME lamina)
set(CPACK_PACKAGE_CONTACT ${LAMINA_PACKAGE_CONTACT})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS ${CMAKE_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS})
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "train deep networks as a pipeline of gradient-isolated stages")
set(CPACK_PACKAGE_DESCRIPTION
"Lamina cuts a network into modules that train on losses of their own, and
trains them as a pipeline of stages, one per worker: threads of a process, or
ranks of an MPI job. No gradient crosses a stage's edge, so no stage ever waits
for a backward signal. It knows the methods of supervised local learning,
MLAAN among them, and ordinary end-to-end schedules for comparison.")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz CACHE STRING "xz, or gzip or zstd, which take seconds in the place of minutes")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${_torch}/lib)
set(CPACK_DEBIAN_PACKAGE_DEPENDS python3)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "openmpi-bin, dataset-fashion-mnist")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "openssh-client, python3-matplotlib")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/src/package/prerm)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
