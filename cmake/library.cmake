# libquern: all floors as one library that exports only what is marked QUERN_API, and its installation. Both kinds are
# made of the same objects; BUILD_SHARED_LIBS says which one `cmake --install` brings. The components "shared", "static",
# "headers", "program" and "c" (bindings/c) can be installed apart.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

get_property(floors GLOBAL PROPERTY QUERN_FLOORS)
list(TRANSFORM floors REPLACE "(.+)" "$<TARGET_OBJECTS:\\1>" OUTPUT_VARIABLE objects)
set(packages fmt::fmt PkgConfig::pcre2 Threads::Threads ${CMAKE_DL_LIBS})
if(QUERN_WITH_CUDA)
  list(APPEND packages CUDA::cudart_static)
  set(QUERN_CUDA_LIBS -L${CUDAToolkit_LIBRARY_DIR} -lcudart_static -lrt)
endif()

foreach(kind shared static)
  string(TOUPPER ${kind} library_type)
  add_library(quern_${kind} ${library_type} ${objects})
  set_target_properties(quern_${kind} PROPERTIES OUTPUT_NAME quern EXCLUDE_FROM_ALL ON)
  target_link_libraries(quern_${kind} PRIVATE ${packages})
  add_library(quern::quern_${kind} ALIAS quern_${kind})
  target_include_directories(quern_${kind} INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                                     $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(quern_${kind} INTERFACE cxx_std_20)
endforeach()

set(exports ${CMAKE_CURRENT_SOURCE_DIR}/cmake/exports.map)
set_target_properties(quern_shared PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
                                              LINK_DEPENDS ${exports})
target_link_options(quern_shared PRIVATE LINKER:--version-script=${exports})
if(NOT QUERN_SANITIZE)
  target_link_options(quern_shared PRIVATE LINKER:--no-undefined)
endif()

if(BUILD_SHARED_LIBS)
  set(installed_kind shared)
  set(other_kind static)
else()
  set(installed_kind static)
  set(other_kind shared)
endif()
add_library(quern::quern ALIAS quern_${installed_kind})  # as find_package gives it, for projects that add this one
set_target_properties(quern_${installed_kind} PROPERTIES EXCLUDE_FROM_ALL OFF)
if(QUERN_BUILD_TESTS)  # they try both
  set_target_properties(quern_${other_kind} PROPERTIES EXCLUDE_FROM_ALL OFF)
endif()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/quern)
# quern_install_library(KIND ...): that library and its part of the CMake package, as component KIND.
function(quern_install_library kind)
  install(TARGETS quern_${kind} EXPORT quern_${kind} COMPONENT ${kind} ${ARGN})
  install(EXPORT quern_${kind} NAMESPACE quern:: FILE quern-${kind}.cmake DESTINATION ${package_dir}
          COMPONENT ${kind} ${ARGN})
endfunction()
quern_install_library(${installed_kind})
quern_install_library(${other_kind} EXCLUDE_FROM_ALL)

configure_package_config_file(cmake/quern-config.cmake.in ${PROJECT_BINARY_DIR}/quern-config.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/quern-config-version.cmake COMPATIBILITY SameMinorVersion)
file(RELATIVE_PATH QUERN_PC_TO_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
set(QUERN_PRIVATE_LIBS -lfmt ${pcre2_LDFLAGS} ${QUERN_CUDA_LIBS} -lpthread -l${CMAKE_DL_LIBS})
list(JOIN QUERN_PRIVATE_LIBS " " QUERN_PRIVATE_LIBS)
configure_file(cmake/quern.pc.in quern.pc @ONLY)

# compare.h belongs to quern_compare, which is for those who change Quern: its bounds fit the kernels of one commit.
install(DIRECTORY include/quern DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT headers
        FILES_MATCHING PATTERN "*.h" PATTERN compare.h EXCLUDE)
install(FILES ${PROJECT_BINARY_DIR}/quern-config.cmake ${PROJECT_BINARY_DIR}/quern-config-version.cmake
        DESTINATION ${package_dir} COMPONENT headers)
install(FILES ${PROJECT_BINARY_DIR}/quern.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT headers)
install(FILES LICENSE README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT headers)
if(QUERN_BUILD_TOOLS)
  install(TARGETS quern_program COMPONENT program)
  if(TARGET quern_shell_files)
    set(shell_files ${PROJECT_BINARY_DIR}/share)
    install(FILES ${shell_files}/quern.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT program)
    install(FILES ${shell_files}/quern.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME quern
            COMPONENT program)
    install(FILES ${shell_files}/quern.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT program)
    foreach(folder site-functions vendor-completions)  # the latter is what Debian's zsh reads under /usr
      install(FILES ${shell_files}/_quern DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/${folder} COMPONENT program)
    endforeach()
  endif()
endif()
if(PROJECT_IS_TOP_LEVEL)
  include(package)
endif()
